"""Presets as sources: `imagenet-a:/data/imagenet-a`, options behind a question mark.

Dimensions: N pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path

import polars as pl

from embedstore.datasets.folder import sample_ids
from embedstore.datasets.presets.border import BorderlessReader
from embedstore.datasets.presets.catalog import Preset, preset, preset_classes, presets
from embedstore.datasets.presets.corruptions import folder_of, one_of, sources
from embedstore.datasets.presets.found import Found, find
from embedstore.datasets.presets.upright import UprightReader
from embedstore.datasets.readers import FolderReader, Reader
from embedstore.datasets.sources import Listing, Source, source_kind
from embedstore.errors import DatasetError, EmbedStoreError

#: Presets whose pictures are not read as they are stored, as in the field's own code.
_READERS: Mapping[str, Callable[[str], Reader]] = {
    "objectnet": BorderlessReader,
    "navi": UprightReader,
}
#: The option by which a part of a data set is taken on purpose.
PARTIAL = "partial"
#: Missing files and folders that a message names.
NAMED = 3


class PresetSource(Source):
    """`NAME:PATH?option=value&...`: a copy of one of the field's data sets, in its own layout.

    With `?partial=1` what is missing is a notice; labels then still count all of its classes.
    """

    def __init__(self, name: str, location: str) -> None:
        self.preset = preset(name)
        self.spec = f"{name}:{location}"
        path, self.options = split_options(self.preset, location)
        if "://" in path:
            raise EmbedStoreError(
                f"preset {name} reads folders of this machine, not {path}; copy it here, or use "
                "webdataset: or parquet:"
            )
        self.location = Path(path).expanduser()

    def reader(self) -> Reader:
        """Return a reader of files below the pictures' folder."""
        return _READERS.get(self.preset.name, FolderReader)(str(self.found.root))

    def listing(self) -> Listing:
        """List all pictures, with labels, annotations and captions."""
        found, preset = self.found, self.preset
        notices = [*found.notices, *self._incomplete(found)]
        paths = [p.path for p in found.pictures]
        classes = preset_classes(preset) if found.labels else None
        return Listing(
            sample_ids=found.sample_ids or sample_ids(paths),
            paths=paths,
            labels=found.labels or [None] * len(paths),
            n_bytes=[p.n_bytes for p in found.pictures],
            changed=[p.changed for p in found.pictures],
            classes=classes,
            notices=notices,
            annotations=pl.DataFrame(found.annotations) if found.annotations else None,
            captions=found.captions,
            spaces=(*preset.spaces, *found.spaces),
        )

    @cached_property
    def found(self) -> Found:
        """What lies on the disk."""
        if not self.location.is_dir():
            raise DatasetError(
                f"there is no folder {self.location}; check the path after {self.preset.name}:"
            )
        return find(self.preset, self.location, self.options)

    def _incomplete(self, found: Found) -> list[str]:
        """Return what is missing as a notice, or raise it."""
        rows, there = found.rows or self.preset.rows, len(found.pictures)
        complete = not found.missing and rows in (None, there)
        if there and complete:
            return []
        counted = f"{there:,} of {rows:,} pictures" if rows else f"{there:,} pictures"
        said = f"{self.preset.title} in {found.root}: {counted} found{_named(found.missing)}"
        if there and self.options.get(PARTIAL) == "1":
            return [f"partial copy of {said}"]
        remedy = f"see: embedstore data show {self.preset.name}"
        if there:
            remedy = f"complete it ({remedy}), or take it as it is with ?{PARTIAL}=1"
        raise DatasetError(f"incomplete copy of {said}; {remedy}")


def split_options(preset: Preset, location: str) -> tuple[str, Mapping[str, str]]:
    """Take a location apart: its path, and the options behind the question mark.

    Raises
    ------
    EmbedStoreError
        If an option has no value, stands twice, or is none of the preset's.
    """
    path, _, query = location.partition("?")
    known = (*preset.options, PARTIAL)
    options: dict[str, str] = {}
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        if key not in known or not value or key in options:
            raise EmbedStoreError(
                f"option {part!r} of {preset.name}:{location} is not understood; write "
                f"?key=value&key=value, each once, with keys among: {', '.join(known)}"
            )
        options[key] = value
    if options.get(PARTIAL, "1") not in ("0", "1"):
        raise EmbedStoreError(f"{PARTIAL}={options[PARTIAL]} means nothing; write {PARTIAL}=1")
    return path, options


def benchmark_sources(source: str) -> list[tuple[str, str]]:
    """Return the name and the source of each corruption and severity of `imagenet-c:PATH`.

    With `?partial=1` those whose folders are there; all, if none is.

    Raises
    ------
    EmbedStoreError
        If it is no benchmark of corruptions, or names one that there is not.
    """
    name, _, location = source.partition(":")
    benchmark = preset(name)
    if not benchmark.corruptions:
        raise EmbedStoreError(f"{name} is one data set, not a benchmark of corruptions; encode it")
    if not location:
        raise EmbedStoreError(f"{source!r} names no folder; write {name}:PATH")
    path, options = split_options(benchmark, location)
    found = list(sources(benchmark, path, options))
    if not found:
        one_of(benchmark, {"corruption": benchmark.corruptions[0], "severity": "1", **options})
    if options.get(PARTIAL) == "1":
        return [named for named in found if _is_there(named[1])] or found
    return found


def left_out(source: str) -> str | None:
    """Return a notice of the corruptions that a partial copy of a benchmark lacks."""
    name, _, location = source.partition(":")
    if name not in presets() or not preset(name).corruptions:
        return None
    path, options = split_options(preset(name), location)
    named = list(sources(preset(name), path, options))
    missing = [one.split("--", 1)[1].replace("--", "/") for one, at in named if not _is_there(at)]
    if options.get(PARTIAL) != "1" or not missing or len(missing) == len(named):
        return None
    kinds = dict.fromkeys(one.partition("/")[0] for one in missing)
    return (
        f"{path} lacks {len(missing)} of {len(named)} folders of {preset(name).title}, of "
        f"{', '.join(kinds)}: they are left out"
    )


def _is_there(source: str) -> bool:
    """Whether the folder of one corruption at one severity is."""
    name, _, location = source.partition(":")
    path, options = split_options(preset(name), location)
    at = Path(path).expanduser()
    return folder_of(preset(name), at, options["corruption"], options["severity"]) is not None


def named_sources(source: str) -> list[tuple[str, str]]:
    """Return the name and the source of what a preset stands for; nothing for other sources.

    `imagenet-a:PATH` is named after its preset; `imagenet-c:PATH` is all of its corruptions and
    severities, each a data set.
    """
    kind = source.partition(":")[0]
    if kind not in presets():
        return []
    return benchmark_sources(source) if preset(kind).corruptions else [(kind, source)]


def _named(missing: list[str]) -> str:
    if not missing:
        return ""
    more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
    return f", missing {', '.join(missing[:NAMED])}{more}"


for _name in presets():
    source_kind(_name)(partial(PresetSource, _name))
