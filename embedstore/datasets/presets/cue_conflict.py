"""Cue-conflict pictures: 16 folders of shapes, files named after shape and texture.

Dimensions: N pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from embedstore.datasets.presets.catalog import Preset
from embedstore.datasets.presets.class_folders import labelled_folders
from embedstore.datasets.presets.found import Found, layout, pictures_folder
from embedstore.errors import DatasetError

#: Such as airplane1-bear2: an aeroplane's shape with a bear's texture.
NAME = re.compile(r"([a-z]+)\d+-([a-z]+)\d+")


@layout("cue-conflict")
def cue_conflict(preset: Preset, location: Path, _options: Mapping[str, str]) -> Found:
    """Read a copy; `shape`, which is the label, and `texture` become annotations."""
    found = labelled_folders(preset, pictures_folder(preset, location))
    cues = [NAME.fullmatch(picture.stem) for picture in found.pictures]
    for picture, cue in zip(found.pictures, cues, strict=True):
        if cue is None or cue[1] != picture.path.partition("/")[0]:
            raise DatasetError(
                f"{picture.path} in {found.root} is not named SHAPEn-TEXTUREm after its folder's "
                "shape; take it out, or name it so"
            )
    found.annotations["shape"] = [cue[1] for cue in cues if cue]
    found.annotations["texture"] = [cue[2] for cue in cues if cue]
    return found
