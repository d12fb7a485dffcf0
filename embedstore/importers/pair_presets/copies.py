"""Copies of data sets of pairs: their folder, and the options behind the question mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from embedstore.datasets.presets.catalog import preset
from embedstore.datasets.presets.found import pictures_folder
from embedstore.datasets.presets.source import PARTIAL
from embedstore.errors import DatasetError

T = TypeVar("T")
LACKING = "of files that the copy lacks"
#: Options of a copy, each with what it may be, the first what it is unless it is said.
Choices = Mapping[str, tuple[str, ...]]


class Copy:
    """A copy on the disk of a data set of pairs, `PATH?option=value&...`."""

    name: ClassVar[str]
    choices: ClassVar[Choices]

    def __init__(self, location: str, stride: int | None) -> None:
        path, self.options = split_options(self.name, location, self.choices)
        copy = Path(path).expanduser()
        if not copy.is_dir():
            raise DatasetError(f"there is no folder {copy}; check the path after {self.name}:")
        self.root = pictures_folder(preset(self.name), copy)
        self.stride = stride
        self.is_partial = self.options[PARTIAL] == "1"
        self.left_out: dict[str, int] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a record keeps of where the pairs are from."""
        chosen = {key: value for key, value in self.options.items() if key != PARTIAL}
        return {"preset": self.name, "stride": self.stride, "options": chosen}

    def complete(self, pairs: Sequence[T], files: Callable[[T], Iterable[Path]]) -> list[T]:
        """Return the pairs; of a partial copy only those whose files are there, others counted."""
        if not self.is_partial:
            return list(pairs)
        found = [pair for pair in pairs if all(path.is_file() for path in files(pair))]
        if len(found) < len(pairs):
            self.left_out[LACKING] = len(pairs) - len(found)
        return found


def split_options(name: str, location: str, choices: Choices) -> tuple[str, dict[str, str]]:
    """Take a location apart: its path, and every option's value.

    Raises
    ------
    DatasetError
        If an option or its value is none of those there are, or stands twice.
    """
    path, _, query = location.partition("?")
    choices = {**choices, PARTIAL: ("0", "1")}
    said: dict[str, str] = {}
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        if value not in choices.get(key, ()) or key in said:
            known = ", ".join(f"{key}={'|'.join(values)}" for key, values in choices.items())
            raise DatasetError(
                f"option {part!r} of {name}:{location} is not understood; each may stand once: "
                f"{known}"
            )
        said[key] = value
    return path, {key: said.get(key, values[0]) for key, values in choices.items()}
