"""The demo's pictures: the photographs in scikit-image's wheel, each with a class and a caption.

They are all that the wheel holds, photographs through telescopes and microscopes among them. Left
out are drawings, charts, test patterns, masks and computed images (`cell.png` is a phase
reconstructed from a hologram), and what is too small to show anything: faces of 25 x 25 pixels, a
film of 14 x 25.
The class names say what a picture shows; none was chosen for a model's sake.
"""

from __future__ import annotations

import csv
import filecmp
import importlib.util
import os
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from embedstore.errors import EmbedStoreError, require


@dataclass(frozen=True, slots=True)
class DemoPicture:
    """One photograph, where the wheel holds it."""

    path: Path
    class_name: str  # what it shows, in lower case
    caption: str  # a sentence


def photographs() -> list[DemoPicture]:
    """Return the photographs, by file name.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    EmbedStoreError
        If its wheel lacks one of them.
    """
    folder = _wheel_folder()
    text = files("embedstore.demo").joinpath("pictures.csv").read_text("utf-8")
    pictures = [
        DemoPicture(folder / row["file"], row["class"], row["caption"])
        for row in csv.DictReader(text.splitlines())
    ]
    for picture in pictures:
        if not picture.path.is_file():
            raise EmbedStoreError(
                f"this version of scikit-image lacks {picture.path.name}; install the one of the "
                "demo with: pip install --upgrade 'embedstore[demo]'"
            )
    return pictures


def lay_out(folder: Path) -> Path:
    """Copy the photographs to ``folder/CLASS/FILE``, spaces in class names as `_`; return `folder`.

    Files that are there already are left alone, so a second call changes nothing. Copies, not
    links: whoever edits a picture of the demo must not edit the installed package.
    """
    for picture in photographs():
        target = folder / picture.class_name.replace(" ", "_") / picture.path.name
        if target.is_file() and filecmp.cmp(picture.path, target, shallow=False):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(picture.path, aside)
        aside.replace(target)  # whole or not there, whenever the process ends
    return folder


def _wheel_folder() -> Path:
    """Find the pictures without importing scikit-image, which takes a second."""
    require("skimage", "demo")
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


__all__ = ["DemoPicture", "lay_out", "photographs"]
