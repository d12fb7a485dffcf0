"""Corruptions of ImageNet: CORRUPTION/SEVERITY/WNID, each of them a data set of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from embedstore.datasets.presets.catalog import Preset
from embedstore.datasets.presets.class_folders import labelled_folders
from embedstore.datasets.presets.found import Found, layout
from embedstore.errors import DatasetError, EmbedStoreError


@layout("corruptions")
def corruptions(preset: Preset, location: Path, options: Mapping[str, str]) -> Found:
    """Read one corruption at one severity."""
    corruption, severity = one_of(preset, options)
    root = folder_of(preset, location, corruption, severity)
    if root is None:
        raise DatasetError(
            f"{location} lacks {corruption}/{severity}; get that archive of {preset.title}: "
            f"{preset.homepage}, or take what is there with ?partial=1, or one corruption with "
            "?corruption=KIND"
        )
    found = labelled_folders(preset, root)
    found.annotations["corruption"] = [corruption] * len(found.pictures)
    found.annotations["severity"] = [int(severity)] * len(found.pictures)
    return found


def folder_of(preset: Preset, location: Path, corruption: str, severity: str) -> Path | None:
    """Return the folder of a corruption at a severity; None where it is missing."""
    # the archives unpack into CORRUPTION, some copies keep them in folders of their kinds
    places = [location / k / corruption / severity for k in ("", *preset.inside)]
    return next((place for place in places if place.is_dir()), None)


def one_of(preset: Preset, options: Mapping[str, str]) -> tuple[str, str]:
    """Return the corruption and the severity that a source names.

    Raises
    ------
    EmbedStoreError
        If it names none, or none that there is.
    """
    choices = {
        "corruption": (*preset.corruptions, *preset.extra_corruptions),
        "severity": tuple(str(i + 1) for i in range(preset.severities)),
    }
    for option, known in choices.items():
        if options.get(option) not in known:
            said = f"no {option} {options[option]!r}" if option in options else f"no {option}"
            raise EmbedStoreError(
                f"{preset.name} has {said}; write {preset.name}:PATH?corruption="
                f"{preset.corruptions[0]}&severity=3, {option} one of: {', '.join(known)}"
            )
    return options["corruption"], options["severity"]


def sources(preset: Preset, location: str, options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and source of every corruption and severity that the options leave open."""
    kept = "".join(f"&{k}={v}" for k, v in options.items() if k not in ("corruption", "severity"))
    asked = options.get("corruption")
    extra = [c for c in preset.extra_corruptions if c == asked]  # only by name
    for corruption in (*preset.corruptions, *extra):
        for severity in range(1, preset.severities + 1):
            chosen = {"corruption": corruption, "severity": str(severity)}
            if all(options.get(key, value) == value for key, value in chosen.items()):
                query = f"corruption={corruption}&severity={severity}{kept}"
                name = f"{preset.name}--{corruption}--{severity}"
                yield name, f"{preset.name}:{location}?{query}"
