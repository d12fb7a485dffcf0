"""Pictures with captions, split as Karpathy & Fei-Fei (2015) did: dataset_coco.json and the like.

Dimensions: N pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedstore.datasets.presets.catalog import Preset
from embedstore.datasets.presets.found import Found, layout, picture_at
from embedstore.datasets.presets.text_files import json_of, refuse_malformed
from embedstore.errors import DatasetError

#: Captions of a picture that count, as in all published figures; a few of COCO's have more.
N_CAPTIONS = 5
#: The set of captions.
CAPTIONS = "captions"


@layout("karpathy")
def karpathy(preset: Preset, location: Path, options: Mapping[str, str]) -> Found:
    """Read a split: `test` unless the option `split` names others, joined by `+`.

    COCO's `restval` are the pictures of val2014 in neither `val` nor `test`; those who train take
    `train+restval`, so it is a split to be asked for, and never part of `train` unsaid.
    """
    file = _file(preset, location)
    images = _images(file)
    splits = options.get("split", "test").split("+")
    known = {image["split"] for image in images}
    if not set(splits) <= known:
        raise DatasetError(
            f"{file} has no split {'+'.join(splits)!r}; choose one of: {', '.join(sorted(known))}"
        )
    chosen = [image for image in images if image["split"] in splits]
    found = Found(location, [], rows=preset.rows if splits == ["test"] else len(chosen))
    captions = []
    for image in chosen:
        path = _path(preset, location, image)
        picture = picture_at(location, path)
        if picture is None:
            found.missing.append(path)
            continue
        found.pictures.append(picture)
        captions.append([str(s["raw"]).strip() for s in image["sentences"]])
    _notice_counts(found, captions)
    found.captions[CAPTIONS] = [texts[:N_CAPTIONS] for texts in captions]
    return found


def _file(preset: Preset, location: Path) -> Path:
    places = (location / preset.captions_file, location / "karpathy" / preset.captions_file)
    file = next((path for path in places if path.is_file()), None)
    if file is None:
        raise DatasetError(
            f"{location} lacks {preset.captions_file}, which holds splits and captions; get it "
            f"from {preset.documentation}"
        )
    return file


def _images(file: Path) -> list[dict[str, Any]]:
    content = json_of(file)
    images = content.get("images") if isinstance(content, dict) else None
    needed = {"filename", "split", "sentences"}
    if not images or not all(isinstance(i, dict) and needed <= i.keys() for i in images):
        raise refuse_malformed(file, '"images", each with filename, split and sentences')
    return list(images)


def _path(preset: Preset, location: Path, image: Mapping[str, Any]) -> str:
    """Return where a picture lies: in the folder that the file names, or in one of the preset's."""
    name = str(image["filename"])
    named = [str(image["filepath"])] if image.get("filepath") else []
    folders = [f for f in (*named, *preset.inside) if (location / f).is_dir()]
    path = f"{(folders or named or list(preset.inside))[0]}/{name}"
    if ".." in Path(path).parts or Path(path).is_absolute():
        raise DatasetError(f"a picture named {path} leads out of {location}; get the file again")
    return path


def _notice_counts(found: Found, captions: list[list[str]]) -> None:
    more = sum(len(texts) > N_CAPTIONS for texts in captions)
    fewer = sum(len(texts) < N_CAPTIONS for texts in captions)
    if more:
        found.notices.append(
            f"{more} pictures have more than {N_CAPTIONS} captions; the first count"
        )
    if fewer:
        found.notices.append(f"{fewer} pictures have fewer than {N_CAPTIONS} captions")
