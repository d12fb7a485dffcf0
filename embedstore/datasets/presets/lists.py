"""Pictures without labels: all of a folder, or those that an image list names.

An image list is OpenOOD's or ViM's: a path a line, perhaps a label behind it, which is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from embedstore.datasets.presets.found import Found, Picture
from embedstore.datasets.presets.text_files import text_of


def listed(root: Path, pictures: list[Picture], options: Mapping[str, str]) -> Found:
    """Return the pictures, or those in the file of the option `list`, in the folder's order."""
    if "list" not in options:
        return _found(root, pictures, [])
    by_path = {picture.path: picture for picture in pictures}
    lines = [
        line.split()[0] for line in text_of(Path(options["list"])).splitlines() if line.split()
    ]
    chosen, missing = set(), []
    for line in lines:
        path = next((p for p in _suffixes(line) if p in by_path), None)
        if path is None:
            missing.append(line)
        else:
            chosen.add(path)
    found = _found(root, [p for p in pictures if p.path in chosen], missing)
    found.rows = len(set(lines))
    return found


def _found(root: Path, pictures: list[Picture], missing: list[str]) -> Found:
    found = Found(root, pictures, missing=missing)
    if any("/" in picture.path for picture in pictures):
        found.annotations["folder"] = [p.path.rpartition("/")[0] for p in pictures]
    return found


def _suffixes(path: str) -> Iterator[str]:
    """Yield the path, then it without its first folder, and so on: where lists begin, differs."""
    parts = path.split("/")
    return ("/".join(parts[i:]) for i in range(len(parts)))
