"""Lists of classes: an id, which is unique, and a name, which is put into prompts. C = classes.

Two pairs of ImageNet's classes share a name in open_clip's list: `missile` (n03773504, n04008634)
and `sunglasses` (n04355933, n04356056); in WordNet's, `crane` (n02012849, n03126707) and `maillot`
(n03710637, n03710721). Their ids keep them apart; a zero-shot head cannot, and ties go to the first
of the two.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO
from pathlib import Path

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.prompts.files import (
    checked_entries,
    file_json,
    file_lines,
    file_text,
    refuse_repeats,
)

IMAGENET, WORDNET = "imagenet", "imagenet-wordnet"
#: Lists that ship with embedstore: names of the 1,000 classes by open_clip, and by WordNet 3.0.
SHIPPED = {IMAGENET: "imagenet-classes.csv", WORDNET: "imagenet-wordnet-classes.csv"}
#: Endings of files that hold a class list.
CLASS_FILES = (".txt", ".csv", ".json")


@dataclass(frozen=True, slots=True)
class ClassList:
    """Classes in the order in which labels count them."""

    name: str
    ids: tuple[str, ...]  # (C,) unique
    names: tuple[str, ...]  # (C,) what prompts say; may repeat


def imagenet() -> ClassList:
    """Return the 1,000 classes of ImageNet-1k: WordNet ids, sorted, and open_clip's names."""
    return _shipped(IMAGENET)


@cache
def _shipped(name: str) -> ClassList:
    text = files("embedstore.prompts").joinpath(SHIPPED[name]).read_text("utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    return ClassList(name, tuple(r["wnid"] for r in rows), tuple(r["name"] for r in rows))


def class_list(name: str) -> ClassList:
    """Return a class list by its name, or from a file.

    Parameters
    ----------
    name
        `imagenet`, open_clip's names of ImageNet's classes; `imagenet-wordnet`, the first lemma of
        each class's synset in WordNet 3.0; or the path of a file, as :func:`read_class_list` takes.
    """
    if name in SHIPPED:
        return _shipped(name)
    if Path(name).suffix.lower() in CLASS_FILES:
        return read_class_list(Path(name))
    raise UnknownNameError("class list", name, [*SHIPPED, *(f"FILE{end}" for end in CLASS_FILES)])


def read_class_list(path: Path) -> ClassList:
    """Return the classes in a user's file, named after the file.

    Parameters
    ----------
    path
        `.txt`, one name a line; `.csv` with the columns `id` and `name`, others ignored; `.json`, a
        list of names or a mapping from ids to names. Where there are no ids, names are ids.
        UTF-8.

    Raises
    ------
    EmbedStoreError
        If the file cannot be read, an entry is empty, an id stands twice, or the file would pass
        for a list that ships with embedstore.
    """
    pairs = _READERS.get(path.suffix.lower(), _unknown_ending)(path)
    ids, names = tuple(i for i, _ in pairs), tuple(n for _, n in pairs)
    refuse_repeats(path, ids)
    classes = ClassList(path.stem, ids, names)
    if path.stem in SHIPPED and classes != _shipped(path.stem):
        raise EmbedStoreError(
            f"{path} would pass for the class list {path.stem!r}, which has other classes or "
            "names; rename the file"
        )
    return classes


def resolve_classes(folder_names: Sequence[str]) -> ClassList | None:
    """Return what classes of ImageNet the folders are named after, or None.

    Parameters
    ----------
    folder_names
        (C,) names of class folders: all WordNet ids, or all ImageNet class names. Names are
        compared without regard to case, `_` and `-` counting as spaces, and must mean one class.

    Returns
    -------
    ClassList or None
        Of the same order, named `imagenet` after the list that its ids and names are from, of which
        it may be a part. None if any folder is named otherwise, or two mean one class.
    """
    whole = imagenet()
    name_of = dict(zip(whole.ids, whole.names, strict=True))
    if folder_names and all(folder in name_of for folder in folder_names):
        ids = list(folder_names)
    else:
        id_of = _ids_by_name()
        ids = [id_of.get(spoken_name(folder), "") for folder in folder_names]
    if not ids or "" in ids or len(set(ids)) < len(ids):
        return None
    return ClassList(IMAGENET, tuple(ids), tuple(name_of[i] for i in ids))


@cache
def _ids_by_name() -> dict[str, str]:
    """Spoken name -> WordNet id, for names that mean one class."""
    whole = imagenet()
    spoken = [spoken_name(name) for name in whole.names]
    counts = Counter(spoken)
    return {name: i for name, i in zip(spoken, whole.ids, strict=True) if counts[name] == 1}


def spoken_name(name: str) -> str:
    """Return a name without regard to case, `_` and `-` counting as spaces."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _from_txt(path: Path) -> list[tuple[str, str]]:
    return [(name, name) for name in file_lines(path)]


def _from_csv(path: Path) -> list[tuple[str, str]]:
    try:
        rows = list(csv.DictReader(StringIO(file_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise EmbedStoreError(f"{path} is no CSV: {error}; mend it there") from error
    if not rows or not {"id", "name"} <= rows[0].keys():
        raise EmbedStoreError(f"{path} needs a first line with id,name, and a line for each class")
    columns = [
        checked_entries(path, [(row[column] or "").strip() for row in rows], f"{column} of class")
        for column in ("id", "name")
    ]
    return list(zip(*columns, strict=True))


def _from_json(path: Path) -> list[tuple[str, str]]:
    value = file_json(path)
    if not value or not isinstance(value, list | dict):
        raise EmbedStoreError(f"{path} needs a list of names or a mapping from ids to names")
    ids = list(value)
    names = list(value.values()) if isinstance(value, dict) else ids
    checked_entries(path, ids, "id of class")
    return list(zip(ids, checked_entries(path, names, "name of class"), strict=True))


def _unknown_ending(path: Path) -> list[tuple[str, str]]:
    raise EmbedStoreError(
        f"cannot tell what {path} holds; let its name end in one of: {', '.join(CLASS_FILES)}"
    )


_READERS = {".txt": _from_txt, ".csv": _from_csv, ".json": _from_json}
