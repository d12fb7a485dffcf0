"""What others have said of ImageNet's validation pictures: ReaL labels and ImageNet-X's factors.

Dimensions: N pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from embedstore.datasets.presets.found import Found
from embedstore.datasets.presets.imagenet_labels import in_package, picture_number
from embedstore.datasets.presets.text_files import csv_of, json_lines_of, json_of, refuse_malformed
from embedstore.prompts import imagenet

#: Pictures that real.json and its like speak of, in the order of their numbers.
N_PICTURES = 50_000
REAL = "real.json"
TOP, MULTI = "imagenet_x_val_top_factor.jsonl", "imagenet_x_val_multi_factor.jsonl"
PROTOTYPES = "prototypical_paths.csv"
#: Keys of ImageNet-X's lines that are no factors.
_NOT_FACTORS = {"file_name", "class", "justification", "one_word", "metaclass"}


def real_labels(found: Found, location: Path, options: Mapping[str, str]) -> None:
    """Add `real_labels` (Beyer et al., 2020): all right classes of each picture, maybe none.

    From the option `real`, from real.json beside the pictures, or from the installed timm.
    """
    numbers = [picture_number(p.name) for p in found.pictures]
    if max(numbers, default=-1) < 0:  # pictures of ImageNet, but not these
        return
    file = _beside(found, location, options.get("real"), REAL)
    file = file or in_package("timm", "data/_info/imagenet_real_labels.json")
    if file is None:
        return
    rows = json_of(file)
    if not isinstance(rows, list) or len(rows) != N_PICTURES:
        raise refuse_malformed(file, f"a list of {N_PICTURES:,} lists of classes")
    classes = {i for row in rows for i in row}
    if not classes <= set(range(len(imagenet().ids))):
        raise refuse_malformed(file, "class indices from 0 to 999")
    picked = [rows[n - 1] if 1 <= n <= N_PICTURES else None for n in numbers]
    found.annotations["real_labels"] = pl.Series(picked, dtype=pl.List(pl.Int32))
    found.spaces = (*found.spaces, "imagenet-real")


def visual_factors(found: Found, location: Path, options: Mapping[str, str]) -> None:
    """Add ImageNet-X's factors (Idrissi et al., 2022) as columns of 0 and 1, null unannotated.

    `pose`, `background`, ... are those of the file of top factors, one a picture; `multi_pose`, ...
    those of the other. The option `imagenet-x` names a file or the folder of both. `prototype`
    marks the 3,000 pictures that annotators compared with, where their list lies there.
    """
    given = options.get("imagenet-x")
    folder = Path(given).expanduser() if given else None
    if folder and not folder.is_dir():
        _add(found, folder, "multi_" if "multi" in folder.name else "")
        return
    for name, prefix in ((TOP, ""), (MULTI, "multi_")):
        file = _beside(found, location, str(folder / name) if folder else None, name)
        if file is not None and (file.is_file() or not folder):
            _add(found, file, prefix)
    listed = _beside(found, location, str(folder / PROTOTYPES) if folder else None, PROTOTYPES)
    if listed is not None and listed.is_file():
        names = {row["file_name"] for row in csv_of(listed)}
        found.annotations["prototype"] = [p.name in names for p in found.pictures]


def _add(found: Found, file: Path, prefix: str) -> None:
    rows = {row.get("file_name"): row for row in json_lines_of(file)}
    factors = [key for key in next(iter(rows.values()), {}) if key not in _NOT_FACTORS]
    if None in rows or not factors:
        raise refuse_malformed(file, "a line of file_name and factors for each picture")
    lines = [rows.get(p.name, {}) for p in found.pictures]
    for factor in factors:
        values = pl.Series([line.get(factor) for line in lines], dtype=pl.Int8)
        found.annotations[prefix + factor] = values
    without = sum(not line for line in lines)
    found.notices.append(f"{file.name} annotates {len(lines) - without:,} of the pictures")


def _beside(found: Found, location: Path, given: str | None, name: str) -> Path | None:
    """Return the file given, or the one of that name beside the pictures."""
    if given is not None:
        return Path(given).expanduser()
    places = (found.root / name, location / name)
    return next((path for path in places if path.is_file()), None)
