"""Correspondence: whether patch features find the same point in another picture.

Conventions (Probe3D; El Banani et al., 2024): features of a layer at the points of a grid that the
model sees in both pictures, of unit length. Each point of the first picture takes its nearest of
the second, d = 1 - cosine; weighed by 1 - d1 / d2, the best 1,000 of a pair are kept. One is right
if strictly within a threshold of where its point truly lies: in metres (`m`) or pixels of the
second picture (`px`: ScanNet at 1/4 scale; NAVI as if its object were 512 pixels across, as it is
where Probe3D cuts it out). With a homography or disparity, points whose
counterpart the model does not see are left out; with depth they are compared, and cannot be found.
A keypoint takes the nearest of all cells, right within a part of the larger side of the second
picture's box (`box`) or of the picture (`image`): PCK, macro mean over classes.

Recall is of the matches of all pairs together. Its chance is exact, not drawn: of each match, the
share of the second picture's points that would be right. Bins are of the rotation between the
cameras, half-open; bounds are 95 %, percentile bootstrap of 2,000 resamples that draw pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import polars as pl

from embedstore.analysis import analysis
from embedstore.correspondence.limits import Protocol, Unit, protocol_of, thresholds_in
from embedstore.correspondence.sampling import Sampling
from embedstore.correspondence.stored import PairSet, load_pairs, pair_sets
from embedstore.errors import EmbedStoreError, StoreError, UnknownNameError
from embedstore.schema.correspondence import CORRESPONDENCE
from embedstore.store import Store
from embedstore.store.patches import begun_layers, find_layer
from embedstore.transform import Cells, Transform

if TYPE_CHECKING:
    from embedstore.correspondence.matching import Rules

_NO_PAIRS = "no data set here has pairs of pictures; bring some in with: embedstore import pairs"


@dataclass(frozen=True, slots=True)
class Measured:
    """A set of pairs, and what is measured of it."""

    pairs: PairSet
    protocol: Protocol


@analysis
def correspondence(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    pairs: str = "*",
    layer: str = "last",
    unit: Unit | None = None,
    thresholds: str | None = None,
    sampling: Sampling | None = None,
    ratio_test: bool = True,
    mutual: bool = False,
    keep: int = 1_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Recall of matches between pairs of pictures, or PCK of keypoints, with 95 % bounds.

    Parameters
    ----------
    store
        Where patch features and pairs are.
    models, datasets
        Globs over names.
    pairs
        Glob over sets of pairs.
    layer
        A number from 0, or from the end (-2), or `last`; models without it are passed over.
    unit
        `m` or `px`, of keypoints `box` or `image`; without it what is usual for the set, `image`
        where pairs lack boxes.
    thresholds
        Of the unit, parted by commas; without it those usual for the set.
    sampling
        How features between cells are found, `bilinear` or `bicubic`; without it the preset's.
    ratio_test
        Whether distinct matches are kept first, else near ones.
    mutual
        Whether only points that are each other's nearest match.
    keep
        Matches of a pair, those of the largest weight; 0 keeps all.
    seed
        Of the resamples behind the bounds.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.correspondence.CORRESPONDENCE`, a row a model, data set, set of pairs and
        threshold, then one a bin of rotation, or a class of keypoint pairs.

    Raises
    ------
    EmbedStoreError
        If no data set has such pairs, no model its patches, or these do not say which part of a
        picture the model was given.

    Examples
    --------
    $ embedstore analyze correspondence clip.store --datasets navi
    $ embedstore analyze correspondence clip.store --datasets spair-71k --unit image
    $ embedstore analyze correspondence clip.store --unit px --thresholds 5,10 --mutual
    """
    from embedstore.correspondence.matching import Rules

    if keep < 0:
        raise EmbedStoreError(f"keep is {keep}; give a number from 1 on, or 0 to keep all")
    rules = Rules(ratio_test=ratio_test, mutual=mutual, keep=keep)
    chosen = thresholds_in(thresholds) if thresholds else None
    sets = _sets(store, datasets, pairs)
    measured = [
        Measured(of_pairs, protocol)
        for of_pairs in sets
        if (protocol := _protocol(of_pairs, unit, chosen, sampling)) is not None
    ]
    if not measured:
        raise EmbedStoreError(
            f"no set of pairs here is measured in {unit}: what they have is "
            f"{', '.join(sorted({s.truth for s in sets}))}; choose another --unit, or leave it out"
        )
    rows: list[dict[str, Any]] = []
    for subject, model in _runs(store, models, measured, layer):
        rows += _rows(store, model, subject, layer, rules, seed)
    frame = pl.DataFrame(rows, schema=dict(CORRESPONDENCE))
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _sets(store: Store, datasets: str, pairs: str) -> list[PairSet]:
    """Return the sets of pairs that match."""
    names = {d: pair_sets(store, d) for d in store.datasets if fnmatchcase(d, datasets)}
    if not any(names.values()):
        raise EmbedStoreError(_NO_PAIRS)
    matching = [(d, n) for d, of in names.items() for n in of if fnmatchcase(n, pairs)]
    if not matching:
        raise UnknownNameError("set of pairs", pairs, {n for of in names.values() for n in of})
    return [load_pairs(store, dataset, name) for dataset, name in matching]


def _protocol(
    pairs: PairSet, unit: Unit | None, thresholds: list[float] | None, sampling: Sampling | None
) -> Protocol | None:
    """Return what is measured of a set of pairs; None if it does not know the unit.

    Raises
    ------
    EmbedStoreError
        If it is to be measured by boxes that it lacks.
    """
    asks_boxes = pairs.truth == "keypoints" and unit in (None, "box")
    bare = _without_box(pairs) if asks_boxes else 0
    if unit == "box" and bare:
        raise EmbedStoreError(
            f"pairs {pairs.name!r} of data set {pairs.dataset!r} have no box to measure by "
            f"({bare:,} of {pairs.n_pairs:,}); give --unit image, choose other --pairs, or import "
            "them again with box_second"
        )
    return protocol_of(
        pairs.truth,
        pairs.facts.get("preset"),
        unit="image" if bare else unit,
        thresholds=thresholds,
        sampling=sampling,
    )


def _without_box(pairs: PairSet) -> int:
    """Return how many pairs have no box."""
    return sum(pair.box is None for block in pairs.blocks() for pair in block)


def _runs(
    store: Store, models: str, measured: Sequence[Measured], layer: str
) -> list[tuple[Measured, str]]:
    """Return each set with the models that match and have its patches, or with the one named.

    Those that lack the layer are passed over where another has it.
    """
    if not set(models) & set("*?["):
        return [(subject, models) for subject in measured]
    matching = [model for model in store.models if fnmatchcase(model, models)]
    found = [
        (subject, model)
        for subject in measured
        for model in matching
        if begun_layers(store.files, model, subject.pairs.dataset)
    ]
    if matching and not found:
        raise StoreError(
            f"no model here has patches over data set {measured[0].pairs.dataset!r}; encode them "
            "with: embedstore encode ... --patches last"
        )
    having = [
        (subject, model)
        for subject, model in found
        if _has_layer(store, model, subject.pairs.dataset, layer)
    ]
    return having or found


def _has_layer(store: Store, model: str, dataset: str, layer: str) -> bool:
    """Return whether a model has the layer over a data set, finished or not."""
    try:
        find_layer(store.files, model, dataset, layer)
    except UnknownNameError:
        return False
    except StoreError:  # it is begun: refused where it is read, with what to do
        pass
    return True


def _rows(
    store: Store, model: str, measured: Measured, layer: str, rules: Rules, seed: int
) -> Iterator[dict[str, Any]]:
    """Measure one model on one set of pairs."""
    from embedstore.correspondence.measuring import measure, stored_maps
    from embedstore.correspondence.points import Sight
    from embedstore.correspondence.summary import summarize

    pairs, protocol = measured.pairs, measured.protocol
    patches = store.patches(model, pairs.dataset, layer)
    _, manifest = find_layer(store.files, model, pairs.dataset, layer)
    number = int(manifest.facts["layer"])
    if not {"transform", "cells"} <= set(manifest.facts):
        raise StoreError(
            f"patches of model {model!r} over data set {pairs.dataset!r}, layer {number}, do not "
            "say which part of a picture they show; remove the run (embedstore rm) and encode it "
            f"again: embedstore encode ... --patches {number}"
        )
    rows, columns = patches.shape[1:3]
    sight = Sight(
        Transform.from_record(manifest.facts["transform"]),
        (rows, columns),
        Cells.from_record(manifest.facts["cells"]),
    )
    judged = list(
        measure(pairs.blocks(), pairs.truth, stored_maps(patches), sight, protocol, rules)
    )
    shared = {
        "model": model,
        "dataset": pairs.dataset,
        "pairs": pairs.name,
        "layer": number,
        "convention": _convention(pairs, protocol, rules),
    }
    n_left_out = sum(pairs.facts.get("n_excluded", {}).values())
    for row in summarize(judged, pairs.truth, protocol, n_left_out=n_left_out, seed=seed):
        yield shared | row


def _convention(pairs: PairSet, protocol: Protocol, rules: Rules) -> str:
    """Return what a row's numbers lean on."""
    parts = [f"{protocol.sampling} features, cosine"]
    if pairs.truth == "keypoints":
        parts += ["nearest of all cells' centres", "PCK, macro mean over classes"]
    else:
        parts.append("ratio test" if rules.ratio_test else "no ratio test")
        parts += ["mutual"] * rules.mutual
        parts.append(f"best {rules.keep:,} of a pair" if rules.keep else "all matches of a pair")
    parts.append("strictly within")
    if "px" in protocol.thresholds:
        parts.append(_pixels(protocol))
    parts += ["chance: exact, targets among all points of the second picture", "bounds draw pairs"]
    return "; ".join(parts)


def _pixels(protocol: Protocol) -> str:
    """Return which pixels thresholds are in."""
    if protocol.across is not None:
        return f"px: {protocol.across:g} across the second picture's object"
    return "px of the picture" if protocol.scale == 1 else f"px at {protocol.scale:g} of its scale"
