"""Facts of each preset, from `presets.toml`: what it is, where it is from, how its copy looks.

Knows no disk.
"""

from __future__ import annotations

import csv
import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from embedstore.errors import EmbedStoreError
from embedstore.labels import class_map
from embedstore.prompts import ClassList, imagenet, resolve_classes

#: What a data set is for.
Task = Literal["classification", "corruption", "ood", "retrieval", "correspondence"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A data set of the field."""

    name: str
    title: str
    summary: str
    task: Task
    layout: str  # which module reads its folders
    homepage: str  # where to get it
    documentation: str  # of the layout
    citation: str
    tree: str  # the expected files and folders
    licence: str = ""  # empty where its makers state none that is known here
    rows: int | None = None  # pictures of a complete copy; of one corruption and severity
    classes: str = ""  # `imagenet`, a label space whose classes it has, or a list of its own
    folders: str = ""  # what class folders are named by: `wnid`, `index` or `name`
    labelled: bool = True  # whether folders are labels; else they are an annotation
    spaces: tuple[str, ...] = ()  # label spaces to judge it in, besides its own classes
    inside: tuple[str, ...] = ()  # folders of the copy in which the pictures may lie
    groups: tuple[str, ...] = ()  # folders above the class folders
    corruptions: tuple[str, ...] = ()
    extra_corruptions: tuple[str, ...] = ()  # not counted in the benchmark's figures
    severities: int = 0
    captions_file: str = ""
    options: tuple[str, ...] = ()  # that its layout understands

    @property
    def n_classes(self) -> int | None:
        """How many classes its labels have."""
        classes = preset_classes(self)
        return len(classes.ids) if classes and self.labelled else None


@cache
def presets() -> dict[str, Preset]:
    """Return all presets by name, in the file's order."""
    text = files("embedstore.datasets.presets").joinpath("presets.toml").read_text("utf-8")
    return {name: _preset(name, table) for name, table in tomllib.loads(text).items()}


def preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises
    ------
    EmbedStoreError
        If there is none; the message names the closest.
    """
    known = presets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        near = near or [n for n in known if name and (name in n or n in name)][:3]
        closest = f"the closest: {', '.join(near)}; " if near else ""
        raise EmbedStoreError(
            f"unknown data set {name!r}; {closest}see all with: embedstore data list"
        )
    return known[name]


def preset_classes(preset: Preset) -> ClassList | None:
    """Return the classes that a preset's labels count, whatever lies on the disk."""
    if not preset.classes:
        return None
    if preset.classes == imagenet().name:
        return imagenet()
    own = files("embedstore.datasets.presets").joinpath("classes", f"{preset.classes}.csv")
    if not own.is_file():
        return resolve_classes(list(class_map(preset.classes).members))
    rows = list(csv.DictReader(own.read_text("utf-8").splitlines()))
    return ClassList("", tuple(r["id"] for r in rows), tuple(r["name"] for r in rows))


def _preset(name: str, table: dict[str, object]) -> Preset:
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    found = Preset(name=name, **values)  # type: ignore[arg-type]
    assert found.task in get_args(Task), name
    return found
