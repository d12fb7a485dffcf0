"""Removing and copying parts of a store, and saying what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import polars as pl

from embedstore.errors import DamagedError, IdentityError, StoreError, UnknownNameError
from embedstore.store import answers, layout
from embedstore.store.contents import committed, load_model, save_model
from embedstore.store.datasets import annotation_names, load_dataset
from embedstore.store.files import LocalFiles
from embedstore.store.indexes import current_indexes, index_rows
from embedstore.store.manifest import (
    MANIFEST,
    FileEntry,
    map_checked,
    read_checked,
    read_manifest,
    write_manifest,
)
from embedstore.store.pair_sets import begun_sets, finished_sets, pair_rows
from embedstore.store.pointers import datasets_of, finished, write_pointer
from embedstore.store.run_rows import PARTS, run_rows
from embedstore.store.shards import SHARD_BYTES
from embedstore.store.store import Store

#: Columns of what `embedstore info` shows, one row a run and head.
INFO = {
    "model": pl.String,
    "dataset": pl.String,
    "head": pl.String,
    "n_rows": pl.Int64,
    "n_failures": pl.Int64,
    "n_bytes": pl.Int64,
    "state": pl.String,
}
#: Bytes from which on a file is mapped, not read: shards are at most so large, indexes may be more.
LARGE = 2 * SHARD_BYTES


def summary(store: Store) -> pl.DataFrame:
    """Return one row a model, data set and head: rows, failures, bytes, state."""
    rows: list[tuple[object, ...]] = []
    for model in store.files.folders("models"):
        if model not in store.models:
            rows.append((model, None, None, 0, 0, 0, "model.json is missing"))
            continue
        for dataset in datasets_of(store.files, model):
            rows += run_rows(store.files, model, dataset)
        rows += index_rows(store.files, model)
        if not datasets_of(store.files, model):
            rows.append((model, None, None, 0, 0, 0, "no data set yet"))
    for dataset in store.datasets:
        rows += pair_rows(store.files, dataset)
    return pl.DataFrame(rows, schema=INFO, orient="row")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which models and data sets: exact names, or None for all."""

    model: str | None = None
    dataset: str | None = None
    pairs: str | None = None  # only this set of the data set's pairs
    protocol: str | None = None  # only the model's answers by this protocol, and their outcomes

    def check(self, store: Store) -> None:
        """Raise :class:`UnknownNameError` if a name is not in the store."""
        models = store.files.folders("models")
        if self.model is not None and self.model not in models:
            raise UnknownNameError("model", self.model, models)
        known = {*store.files.folders("datasets")}
        for model in models:
            known |= set(datasets_of(store.files, model))
        if self.dataset is not None and self.dataset not in known:
            raise UnknownNameError("data set", self.dataset, known)
        if self.pairs is not None:
            self._check_pairs(store)
        if self.protocol is not None:
            self._check_protocol(store)

    def _check_protocol(self, store: Store) -> None:
        if self.model is None or self.dataset is None or self.pairs is not None:
            raise StoreError(
                "a protocol's answers belong to a model and a data set; name both with --model and "
                "--data"
            )
        known = store.files.folders(f"models/{self.model}/answers/{self.dataset}")
        if self.protocol not in known:
            asked = f"protocol of answers of {self.model!r} on {self.dataset!r}"
            raise UnknownNameError(asked, str(self.protocol), known)

    def _check_pairs(self, store: Store) -> None:
        if self.dataset is None or self.model is not None:
            raise StoreError("a set of pairs belongs to a data set alone; name it with --data")
        sets = begun_sets(store.files, self.dataset)
        if self.pairs not in sets:
            raise UnknownNameError(
                f"set of pairs of data set {self.dataset!r}", str(self.pairs), sets
            )


def removable(store: Store, selection: Selection) -> list[str]:
    """Return the folders that :func:`remove` would remove, those that others lean on last."""
    selection.check(store)
    files = store.files
    if selection.dataset is None:
        if selection.model is None:
            raise StoreError("nothing is chosen; name a model, a data set, or both")
        return [f"runs/{selection.model}", layout.model(selection.model)]
    if selection.pairs is not None:
        return [layout.pairs(selection.dataset, selection.pairs)]
    if selection.model is not None and selection.protocol is not None:
        chosen = (selection.model, selection.dataset, selection.protocol)
        return answers.answer_folders(files, *chosen)
    models = [selection.model] if selection.model else files.folders("models")
    folders = [
        folder
        for model in models
        for folder in (
            f"models/{model}/indexes/images/{selection.dataset}",
            f"models/{model}/outcomes/{selection.dataset}",
            f"models/{model}/answers/{selection.dataset}",
            f"models/{model}/logits/{selection.dataset}",
            f"models/{model}/patches/{selection.dataset}",
            layout.images(model, selection.dataset),
        )
    ]
    if selection.model is None:
        folders += _prompt_folders(store, selection.dataset)
        folders.append(layout.dataset(selection.dataset))
    there = [f for f in folders if files.path(f).is_dir()]
    if not there:
        raise StoreError(
            f"model {selection.model!r} has nothing over data set {selection.dataset!r}; "
            f"see what there is with: embedstore info {files.root}"
        )
    return there


def _prompt_folders(store: Store, dataset: str) -> list[str]:
    """Return what goes with a data set: its captions, and prompts over its classes alone."""
    folders = []
    models = store.files.folders("models")
    others = {d for m in models for d in datasets_of(store.files, m)} - {dataset}
    for name in committed(store.files, "texts"):
        record = store.texts(name)[0]
        over = [f"models/{m}/{part}/{d}/{name}" for m in models for part in PARTS for d in others]
        shared = any(store.files.path(folder).is_dir() for folder in over)
        if dataset in (record.class_list, record.dataset) and not shared:
            for model in models:
                folders += [layout.head(model, name), f"models/{model}/indexes/texts/{name}"]
                folders.append(layout.text_embeddings(model, name))
            folders.append(layout.texts(name))
    return folders


def remove(store: Store, selection: Selection) -> list[str]:
    """Remove a model, a data set, one's run over the other or a part of it; return what was."""
    folders = removable(store, selection)
    models = [selection.model] if selection.model else store.files.folders("models")
    for model in models:
        if selection.dataset is not None and selection.pairs is None:
            store.files.delete(layout.pointer(model, selection.dataset))
    for folder in folders:
        if store.files.path(folder).is_dir():
            store.files.delete_folder(folder)
    if selection.model and selection.dataset and selection.protocol:  # of what is left
        write_pointer(store.files, selection.model, selection.dataset)
    return folders


def copy(
    source: Store,
    target: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    progress: Callable[[int], None] = lambda _n: None,
) -> int:
    """Copy what is finished of the models and data sets that match; return the bytes copied.

    Every file is checked against its digest on the way; what the target has already is left alone.

    Raises
    ------
    IdentityError
        If the target has something else under a name.
    """
    n_bytes = 0
    chosen = [m for m in source.models if fnmatchcase(m, models)]
    sets = [d for d in source.datasets if fnmatchcase(d, datasets)]
    if not chosen and models != "*":
        raise UnknownNameError("model", models, source.models)
    if not sets and datasets != "*":
        raise UnknownNameError("data set", datasets, source.datasets)
    if not chosen and not sets:
        raise StoreError(f"{source.files.root} is empty; fill it with: embedstore encode")
    for model in chosen:  # first, so that nothing is copied under another model's identity
        save_model(target.files, load_model(source.files, model))
    for folder in _folders_of(source, chosen, sets):
        n_bytes += _copy_folder(source.files, target.files, folder, progress)
    for model in chosen:
        for dataset in sets:
            write_pointer(target.files, model, dataset)
    return n_bytes


def _folders_of(source: Store, models: list[str], datasets: list[str]) -> list[str]:
    """Return the folders to copy: what others lean on first."""
    folders = [layout.dataset(d) for d in datasets]
    folders += [
        layout.annotation_table(d, a) for d in datasets for a in annotation_names(source.files, d)
    ]
    folders += [layout.pairs(d, p) for d in datasets for p in finished_sets(source.files, d)]
    used = {t for m in models for t in source.text_sets(m)}
    used |= {t for d in datasets for t in source.dataset(d).captions}
    folders += [layout.texts(t) for t in sorted(used)]
    for model in models:
        folders += [layout.text_embeddings(model, t) for t in source.text_sets(model)]
        folders += [layout.head(model, h) for h in source.heads(model)]
        for dataset in datasets:
            protocols = answers.protocols(source.files, model, dataset)
            folders += [layout.answers(model, dataset, protocol) for protocol in protocols]
            record = finished(source.files, model, dataset)
            if record is None:
                continue
            folders += [layout.images(model, dataset)] if record["embeddings"] else []
            folders += [layout.patches(model, dataset, layer) for layer in record["patches"]]
            folders += [layout.logits(model, dataset, head) for head in record["logits"]]
            for head, spaces in record["heads"].items():
                folders += [layout.outcomes(model, dataset, head, s) for s in spaces]
        folders += current_indexes(source.files, model, datasets)
    return folders


def _copy_folder(
    source: LocalFiles, target: LocalFiles, folder: str, progress: Callable[[int], None]
) -> int:
    manifest = read_manifest(source, folder)
    if manifest is None:
        raise DamagedError(f"{folder}/{MANIFEST} is missing; see: embedstore verify")
    there = read_manifest(target, folder)
    if there is not None:
        if layout.is_cache(folder):
            return 0  # another index of the same embeddings: threads add rows in any order
        if there.digest != manifest.digest and not _same_dataset(source, target, folder):
            raise IdentityError(
                f"{target.root} has another {folder}; remove it there first with: embedstore rm"
            )
        return 0
    with target.lock(folder):
        for name, entry in manifest.files.items():
            large = entry.n_bytes > LARGE
            data = (map_checked if large else read_checked)(source, folder, name, manifest)
            key = f"{folder}/{name}"
            if not target.create(key, data):
                found = target.map(key) if large else target.read(key)
                if FileEntry.of(found) != entry:
                    target.replace(key, data)
            progress(len(data))
        write_manifest(target, folder, manifest)
    return manifest.n_bytes


def _same_dataset(source: LocalFiles, target: LocalFiles, folder: str) -> bool:
    """Whether both are one data set, though their pictures lay in different places."""
    if not folder.startswith("datasets/") or folder.count("/") > 1:  # what lies below one
        return False
    name = folder.removeprefix("datasets/")
    (ours, _), (theirs, _) = load_dataset(source, name), load_dataset(target, name)
    return ours.fingerprint == theirs.fingerprint
