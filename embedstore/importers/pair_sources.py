"""Where pairs come from: a manifest, or a copy of a data set that brings its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from embedstore.importers.given_pairs import PairList
from embedstore.importers.pair_manifests import STRIDE, Manifest
from embedstore.importers.pair_presets.navi import NaviPairs
from embedstore.importers.pair_presets.scannet import ScanNetPairs
from embedstore.importers.pair_presets.spair import SpairPairs

PRESETS: Mapping[str, Callable[[str, int | None], PairList]] = {
    NaviPairs.name: NaviPairs,
    ScanNetPairs.name: ScanNetPairs,
    SpairPairs.name: SpairPairs,
}


def open_pairs(location: str, stride: int | None = None) -> PairList:
    """Open a manifest, or what a preset stands for: `navi:PATH`.

    Parameters
    ----------
    location
        A file, or a preset's name, a colon, and where its copy is.
    stride
        Pixels between a grid's points; where it is None, `STRIDE`, and for NAVI what puts 128
        points across the object.

    Raises
    ------
    DatasetError
        If it cannot be read, or a manifest's columns do not say one truth.
    """
    kind, _, copy = location.partition(":")
    if kind in PRESETS:
        return PRESETS[kind](copy, stride)
    return Manifest(Path(location), stride or STRIDE)
