"""What a layout finds on the disk, and the walk that finds pictures.

Dimensions: N pictures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import polars as pl

from embedstore.datasets import folder
from embedstore.datasets.presets.catalog import Preset
from embedstore.errors import DatasetError, EmbedStoreError


@dataclass(frozen=True, slots=True)
class Picture:
    """A file of the copy."""

    path: str  # relative to the pictures' folder, with slashes
    n_bytes: int
    changed: int  # time of last change, nanoseconds

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The file's name without folders and ending."""
        return PurePosixPath(self.path).stem


@dataclass(slots=True)
class Found:
    """What lies on the disk, in its stable order, and what should but does not."""

    root: Path  # the pictures' paths are relative to it
    pictures: list[Picture]  # (N,)
    labels: Sequence[int | None] = ()  # (N,) into the preset's classes; () without labels
    annotations: dict[str, Sequence[object] | pl.Series] = field(
        default_factory=dict
    )  # (N,) by column
    captions: dict[str, Sequence[Sequence[str]]] = field(default_factory=dict)  # (N,) by set
    missing: list[str] = field(default_factory=list)  # files and folders that belong there
    notices: list[str] = field(default_factory=list)
    rows: int | None = None  # pictures expected, where it is not the preset's own number
    spaces: tuple[str, ...] = ()  # label spaces that only this copy can be judged in
    sample_ids: Sequence[str] = ()  # (N,) where they are not the paths without endings


Layout = Callable[[Preset, Path, Mapping[str, str]], Found]
_LAYOUTS: dict[str, Layout] = {}


def layout(name: str) -> Callable[[Layout], Layout]:
    """Register what reads copies of a layout."""

    def register(function: Layout) -> Layout:
        if name in _LAYOUTS:
            raise EmbedStoreError(f"two layouts are named {name!r}; rename one")
        _LAYOUTS[name] = function
        return function

    return register


def find(preset: Preset, location: Path, options: Mapping[str, str]) -> Found:
    """Read a copy through its preset's layout."""
    # each registers itself
    from embedstore.datasets.presets import (  # noqa: F401
        class_folders,
        corruptions,
        cue_conflict,
        flat,
        karpathy,
        pairs,
        validation,
    )

    return _LAYOUTS[preset.layout](preset, location, options)


def pictures_folder(preset: Preset, location: Path) -> Path:
    """Return the first folder inside the copy in which its pictures may lie, or the copy itself."""
    inside = (location / name for name in preset.inside)
    return next((folder for folder in inside if folder.is_dir()), location)


def pictures_below(root: Path, top: str = "") -> list[Picture]:
    """Return all pictures below a folder of `root`, at any depth, in order of their paths' parts.

    Hidden files and folders are passed over.
    """
    try:
        found = sorted(folder.pictures_below(root / top, tuple(top.split("/")) if top else ()))
        return [Picture("/".join(parts), *facts) for parts, *facts in found]
    except OSError as error:
        raise DatasetError(
            f"cannot read {error.filename} ({error.strerror}); make it readable, or remove it"
        ) from error


def picture_at(root: Path, path: str) -> Picture | None:
    """Return one file of the copy; None where there is none."""
    try:
        stat = (root / path).stat()
    except OSError:
        return None
    return Picture(path, stat.st_size, stat.st_mtime_ns)


def subfolders(root: Path) -> list[str]:
    """Return the names of the folders in `root`, sorted, hidden ones left out."""
    try:
        return sorted(e.name for e in os.scandir(root) if e.is_dir() and e.name[0] != ".")
    except OSError as error:
        raise DatasetError(
            f"cannot read {root} ({error.strerror}); check the path, or make it readable"
        ) from error
