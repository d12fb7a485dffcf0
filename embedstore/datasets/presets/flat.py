"""All pictures in one folder, without labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from embedstore.datasets.presets.catalog import Preset
from embedstore.datasets.presets.found import Found, layout, pictures_below, pictures_folder
from embedstore.datasets.presets.lists import listed


@layout("flat")
def flat(preset: Preset, location: Path, options: Mapping[str, str]) -> Found:
    """Read a copy without classes."""
    root = pictures_folder(preset, location)
    return listed(root, pictures_below(root), options)
