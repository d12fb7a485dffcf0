"""A folder a class, named by WordNet id, by index or by the data set's own name for it.

Dimensions: N pictures, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from embedstore.datasets.presets.catalog import Preset, preset_classes
from embedstore.datasets.presets.found import (
    Found,
    Picture,
    layout,
    pictures_below,
    pictures_folder,
    subfolders,
)
from embedstore.datasets.presets.lists import listed


@layout("class-folders")
def class_folders(preset: Preset, location: Path, options: Mapping[str, str]) -> Found:
    """Read a copy of class folders, perhaps below folders of groups."""
    root = pictures_folder(preset, location)
    if not preset.labelled:
        return listed(root, _by_folder(root), options)
    return labelled_folders(preset, root, preset.groups)


def labelled_folders(preset: Preset, root: Path, groups: tuple[str, ...] = ()) -> Found:
    """Read class folders of known names, each below every group that there is.

    The class's index is the folder's place among all that belong there, also where some are
    missing: labels of a partial copy are those of the whole.
    """
    names = folder_names(preset)
    index = {name: i for i, name in enumerate(names)}
    pictures: list[Picture] = []
    kinds: list[str] = []
    missing = [group for group in groups if not (root / group).is_dir()]
    seen: set[str] = set()
    others: set[str] = set()
    for group in [g for g in groups if g not in missing] or ([""] if not groups else []):
        there = set(subfolders(root / group))
        seen |= there & index.keys()
        others |= there - index.keys()
        for name in (n for n in names if n in there):
            inside = pictures_below(root, f"{group}/{name}" if group else name)
            pictures += inside
            kinds += [name] * len(inside)
    missing += [name for name in names if name not in seen]
    found = Found(root, pictures, [index[kind] for kind in kinds], missing=missing)
    if others:
        known = sorted(others)
        found.notices.append(
            f"{len(known)} folders of {root} are no classes of {preset.name} and are left out, "
            f"such as {known[0]}"
        )
    if groups:
        found.annotations["group"] = [p.path.partition("/")[0] for p in pictures]
    return found


def folder_names(preset: Preset) -> list[str]:
    """Return the names that class folders have, in the order in which labels count: C of them."""
    classes = preset_classes(preset)
    assert classes is not None, preset.name
    if preset.folders == "index":
        return [str(i) for i in range(len(classes.ids))]
    return list(classes.ids)


def _by_folder(root: Path) -> list[Picture]:
    return [picture for name in subfolders(root) for picture in pictures_below(root, name)]
