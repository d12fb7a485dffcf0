"""Class maps: label spaces whose classes stand for classes of another list, each from a source.

Those of the field's data sets ship as readable files; a user's own has the same form.

Dimensions: S classes of the map.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.labels.space import ALL, HEAD
from embedstore.store.names import checked_name

#: `max` and `mean` reduce a class's members to one; `allowed` lets all members compete, and any of
#: the label's is right.
Rule = Literal["max", "mean", "allowed"]
_KEYS = {"name", "summary", "source", "rule", "labels", "classes"}


@dataclass(frozen=True, slots=True)
class ClassMap:
    """Classes, and the classes of heads and data sets that each of them stands for."""

    name: str
    members: dict[str, tuple[str, ...]]  # class id -> ids it stands for; {} keeps a data set's own
    rule: Rule = "max"
    labels: str = "label"  # column of the samples: a class each, or a list of right ones
    summary: str = ""
    source: str = ""  # where the mapping is from

    @property
    def class_of(self) -> dict[str, str]:
        """Each member's class; the first where it has several."""
        found: dict[str, str] = {}
        for class_id, members in self.members.items():
            for member in (*members, class_id):
                found.setdefault(member, class_id)
        return found


def class_map_names() -> list[str]:
    """Return the names of the class maps that ship with embedstore."""
    entries = files("embedstore.labels").joinpath("spaces").iterdir()
    return sorted(e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml"))


def class_map(name: str) -> ClassMap:
    """Return a class map by its name, or from a user's TOML file.

    The file holds ``name``, optionally ``summary``, ``source``, ``rule`` (``max``, ``mean`` or
    ``allowed``), ``labels`` (a column of the samples), and ``classes``: a list of class ids to
    keep, or a table ``class = ["member", ...]``; without it, the data set's own classes are kept.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    EmbedStoreError
        If the file cannot be read or lacks something.
    """
    return _in_file(name) if name.endswith(".toml") else _shipped(name)


@cache
def _shipped(name: str) -> ClassMap:
    if name not in class_map_names():
        raise UnknownNameError("label space", name, [*class_map_names(), "FILE.toml"])
    path = files("embedstore.labels").joinpath("spaces", f"{name}.toml")
    return _parsed(tomllib.loads(path.read_text("utf-8")), name)


def _in_file(name: str) -> ClassMap:
    try:
        content = tomllib.loads(Path(name).expanduser().read_text("utf-8"))
    except OSError as error:
        raise EmbedStoreError(f"cannot read {name} ({error.strerror}); check the path") from error
    except ValueError as error:
        raise EmbedStoreError(f"{name} is no TOML: {error}; mend it there") from error
    return _parsed(content, name)


def _parsed(content: dict[str, Any], where: str) -> ClassMap:
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise EmbedStoreError(
            f"{where}: unknown key {unknown[0]!r}; a label space has {', '.join(sorted(_KEYS))}"
        )
    rule = content.get("rule", "max")
    if rule not in get_args(Rule):
        raise UnknownNameError(f"rule in {where}", str(rule), get_args(Rule))
    name = checked_name("label space", str(content.get("name", "")))
    if name in (ALL, HEAD):
        raise EmbedStoreError(f"{where}: {name!r} means something else; rename the space")
    return ClassMap(
        name=name,
        members=_members(content["classes"], where) if "classes" in content else {},
        rule=rule,
        labels=str(content.get("labels", "label")),
        summary=str(content.get("summary", "")),
        source=str(content.get("source", "")),
    )


def _members(classes: Any, where: str) -> dict[str, tuple[str, ...]]:
    if isinstance(classes, list):
        classes = {str(class_id): [class_id] for class_id in classes}
    groups = list(classes.values()) if isinstance(classes, dict) else []
    if not groups or not all(
        isinstance(m, list) and m and all(isinstance(i, str) for i in m) for m in groups
    ):
        raise EmbedStoreError(
            f'{where}: classes must be a list of class ids, or lines class = ["member", ...] with '
            "at least one member each; mend it there, or leave it out to keep a data set's own"
        )
    return {class_id: tuple(members) for class_id, members in classes.items()}
