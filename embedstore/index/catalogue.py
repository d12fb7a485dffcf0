"""What indexes a store has, what one more would take, and taking some away."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import polars as pl

from embedstore.errors import DamagedError, UnknownNameError
from embedstore.index.building import place_of
from embedstore.index.exact import Metric
from embedstore.index.kinds import Size, choose, expected_bytes
from embedstore.index.subject import Subject
from embedstore.store import Store
from embedstore.store.indexes import IndexPlace, index_places, is_current
from embedstore.store.manifest import Manifest, read_manifest

#: Columns of the list of indexes.
INDEXES = {
    "model": pl.String,
    "over": pl.String,  # data set or text set
    "part": pl.String,  # images or texts
    "kind": pl.String,
    "metric": pl.String,
    "n_rows": pl.Int64,
    "n_left_out": pl.Int64,  # failed pictures
    "n_bytes": pl.Int64,  # expected, where it is not built
    "recall_at_10": pl.Float64,  # on a sample of its own rows; 1 of flat; null if not measured
    "settings": pl.String,
    "state": pl.String,  # built; stale: of embeddings that have changed; damaged; to build
}


def indexes_table(store: Store, models: str = "*") -> pl.DataFrame:
    """Return one row an index that is in the store."""
    places = [
        place
        for model in store.models
        if fnmatchcase(model, models)
        for place in index_places(store.files, model)
    ]
    return pl.DataFrame([_row(store, place) for place in places], schema=INDEXES)


def planned(subject: Subject, kind: str, metric: Metric) -> pl.DataFrame:
    """Return what :func:`embedstore.index.building.build` would build, or found there: one row."""
    size = Size(subject.n_rows, subject.dim)
    chosen = choose(kind, size)
    place = place_of(subject, chosen, metric)
    if read_manifest(subject.store.files, place.folder) is not None:
        row = _row(subject.store, place)
    else:
        row = _named(place) | {
            "n_rows": size.n_rows,
            "n_left_out": len(subject.failed),
            "n_bytes": expected_bytes(chosen, size),
            "state": "to build",
        }
    return pl.DataFrame([row], schema=INDEXES)


def removable_indexes(
    store: Store, model: str, over: str = "*", kind: str = "*", metric: str = "*"
) -> list[IndexPlace]:
    """Return the indexes of a model that match: globs over data and text sets, kinds and metrics.

    Raises
    ------
    UnknownNameError
        If none does.
    """
    store.model(model)
    places = index_places(store.files, model)
    chosen = [
        place
        for place in places
        if fnmatchcase(place.name, over) and fnmatchcase(place.key, f"{kind}-{metric}")
    ]
    if not chosen:
        wanted = f"{over}/{kind}-{metric}"
        known = [f"{place.name}/{place.key}" for place in places]
        raise UnknownNameError(f"index of model {model!r}", wanted, known)
    return chosen


def remove_indexes(store: Store, places: Sequence[IndexPlace]) -> None:
    """Remove indexes; what they are over stays."""
    for place in places:
        store.files.delete_folder(place.folder)


def _row(store: Store, place: IndexPlace) -> dict[str, Any]:
    try:
        manifest, current = read_manifest(store.files, place.folder), is_current(store.files, place)
    except DamagedError:  # a manifest: the list tells of all other indexes
        return _named(place) | {"state": "damaged"}
    assert manifest is not None, "it is committed"
    return _named(place) | {
        "n_rows": manifest.facts["n_rows"],
        "n_left_out": manifest.facts["n_failures"],
        "n_bytes": manifest.n_bytes,
        "recall_at_10": manifest.facts["recall_at_10"],
        "settings": _settings(manifest),
        "state": "built" if current else "stale",
    }


def _named(place: IndexPlace) -> dict[str, Any]:
    kind, _, metric = place.key.partition("-")
    names = {"model": place.model, "over": place.name, "part": place.part}
    return names | {"kind": kind, "metric": metric}


def _settings(manifest: Manifest) -> str | None:
    return ", ".join(f"{k} {v}" for k, v in manifest.facts["settings"].items()) or None
