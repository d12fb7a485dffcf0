"""ImageNet's validation pictures: class folders, or one flat folder and a file of labels.

However they lie, they are the same data set: ids are the files' names, and so is the order.

Dimensions: N pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from embedstore.datasets.presets.catalog import Preset
from embedstore.datasets.presets.found import (
    Found,
    layout,
    pictures_below,
    pictures_folder,
    subfolders,
)
from embedstore.datasets.presets.imagenet_annotations import real_labels, visual_factors
from embedstore.datasets.presets.imagenet_labels import file_of_labels, labels_in
from embedstore.errors import DatasetError
from embedstore.prompts import imagenet


@layout("validation")
def validation(preset: Preset, location: Path, options: Mapping[str, str]) -> Found:
    """Read a copy, its labels, and the annotations that lie beside it."""
    root = pictures_folder(preset, location)
    index = {wnid: i for i, wnid in enumerate(imagenet().ids)}
    folders = [name for name in subfolders(root) if name in index]
    if folders and "labels" not in options:
        found = Found(root, [p for name in folders for p in pictures_below(root, name)])
        found.pictures.sort(key=lambda p: p.stem)
        found.labels = [index[p.path.partition("/")[0]] for p in found.pictures]
        found.missing = [name for name in index if name not in folders]
    else:
        found = Found(root, pictures_below(root))
        found.pictures.sort(key=lambda p: p.stem)
        _label(found, location, options)
    found.sample_ids = [p.stem for p in found.pictures]
    _refuse_repeats(found)
    real_labels(found, location, options)
    visual_factors(found, location, options)
    return found


def _label(found: Found, location: Path, options: Mapping[str, str]) -> None:
    """Give the pictures of a flat folder their labels."""
    if not found.pictures:
        return
    file = file_of_labels(found.root, location, options)
    found.labels = labels_in(file, [picture.name for picture in found.pictures])
    bare = [p.name for p, label in zip(found.pictures, found.labels, strict=True) if label is None]
    if bare:
        found.missing.append(f"labels in {file} of {len(bare)} pictures, such as {bare[0]}")
    found.notices.append(f"labels of {found.root} are from {file}")


def _refuse_repeats(found: Found) -> None:
    ids = found.sample_ids
    for one, other in pairwise(ids):
        if one == other:
            raise DatasetError(
                f"two pictures below {found.root} are named {one}; keep one, for ImageNet's "
                "annotations know pictures by their names"
            )
