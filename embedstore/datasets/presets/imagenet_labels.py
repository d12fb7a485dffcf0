"""Files that say which class each of ImageNet's validation pictures shows.

Known are the devkit's ground truth (with `meta.mat`, since it counts classes its own way), Kaggle's
`LOC_val_solution.csv`, ImageNet-X's `filename_label.csv`, and texts: a file's name and its label a
line, or a label a line in the order of the files' numbers. A label is a WordNet id or an index into
the sorted WordNet ids.

Dimensions: N pictures.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from embedstore.datasets.endings import ENDINGS
from embedstore.datasets.presets.text_files import csv_of, refuse_malformed, text_of
from embedstore.errors import DatasetError
from embedstore.prompts import imagenet

GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
DEVKIT = "ILSVRC2012_devkit_t12/data"
#: Files looked for beside the pictures, the folder above among them, in this order.
KNOWN = (
    "LOC_val_solution.csv",
    "filename_label.csv",
    "val.txt",
    "val_labels.txt",
    "labels.txt",
    GROUND_TRUTH,
    f"{DEVKIT}/{GROUND_TRUTH}",
)


def file_of_labels(root: Path, location: Path, options: Mapping[str, str]) -> Path:
    """Return the file that the option `labels` names, or one that lies beside the pictures.

    Raises
    ------
    DatasetError
        If there is none, nor the package imagenet-x, which carries the labels too.
    """
    if "labels" in options:
        return Path(options["labels"]).expanduser()
    # the folder above is the copy's only where the pictures' own folder was named
    above = [location.parent] if root == location else []
    places = (folder / name for folder in (root, location, *above) for name in KNOWN)
    found = next((path for path in places if path.is_file()), None)
    found = found or in_package("imagenet_x", "annotations/filename_label.csv")
    if found is None:
        raise DatasetError(
            f"{root} holds neither class folders nor a file of labels; put one of "
            f"{', '.join(KNOWN[:-1])} beside the pictures, name one with ?labels=FILE, or install "
            "the package that carries them: pip install imagenet-x"
        )
    return found


def in_package(package: str, path: str) -> Path | None:
    """Return a file of an installed package, which is not imported for it."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return next((Path(f, path) for f in folders if Path(f, path).is_file()), None)


def labels_in(file: Path, names: Sequence[str]) -> list[int | None]:
    """Return the label of each picture by its file's name: (N,) -> (N,), None where it has none."""
    if file.suffix.lower() == ".csv":
        return _by_name(_csv_labels(file), names)
    lines = [line.split() for line in text_of(file).splitlines() if line.strip()]
    widths = {len(line) for line in lines}
    if widths == {2}:
        return _by_name({name: _index(file, label) for name, label in lines}, names)
    if widths != {1}:
        raise refuse_malformed(file, "a label a line, or a file's name and its label")
    labels = [line[0] for line in lines]
    numbered = _devkit_labels(file, labels) if file.name == GROUND_TRUTH else _plain(file, labels)
    return [numbered.get(picture_number(name)) for name in names]


def picture_number(name: str) -> int:
    """Return the number in a name such as ILSVRC2012_val_00000293.JPEG, -1 without one."""
    found = re.search(r"_val_(\d{8})", name)
    return int(found[1]) if found else -1


def _by_name(labels: Mapping[str, int], names: Sequence[str]) -> list[int | None]:
    by_stem = {_stem(name): label for name, label in labels.items()}
    return [by_stem.get(_stem(name)) for name in names]


def _stem(name: str) -> str:
    """Return a file's name without its ending, which Kaggle's table leaves out."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in ENDINGS else path.name


def _csv_labels(file: Path) -> dict[str, int]:
    rows = csv_of(file)
    columns = set(rows[0]) if rows else set()
    if {"ImageId", "PredictionString"} <= columns:  # the class of the first box; all are of one
        return {r["ImageId"]: _index(file, r["PredictionString"].split()[0]) for r in rows}
    if {"file_name", "label"} <= columns:
        return {r["file_name"]: _index(file, r["label"]) for r in rows}
    raise refuse_malformed(file, "the columns file_name,label or ImageId,PredictionString")


def _plain(file: Path, labels: Sequence[str]) -> dict[int, int]:
    """Number the labels of the first, second, ... picture from 1."""
    if all(label.isdigit() for label in labels) and "0" not in labels:
        raise DatasetError(
            f"{file} counts classes from 1, in an order unknown (ImageNet's devkit has its own); "
            f"name it {GROUND_TRUTH} and put meta.mat beside it, or count from 0 in the order "
            "of the WordNet ids"
        )
    return {number: _index(file, label) for number, label in enumerate(labels, start=1)}


def _devkit_labels(file: Path, labels: Sequence[str]) -> dict[int, int]:
    """Bring the devkit's class numbers, which `meta.mat` explains, to the sorted WordNet ids."""
    import scipy.io

    meta = file.parent / "meta.mat"
    if not meta.is_file():
        raise DatasetError(
            f"{file} counts classes in the devkit's own order; put the devkit's meta.mat beside it"
        )
    synsets = scipy.io.loadmat(meta, squeeze_me=True)["synsets"]
    wnid = {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in synsets}
    try:
        return {n: _index(file, wnid[label]) for n, label in enumerate(labels, start=1)}
    except KeyError as error:
        raise refuse_malformed(file, f"class numbers of {meta}: it lacks {error}") from error


def _index(file: Path, label: str) -> int:
    ids = imagenet().ids
    position = _POSITIONS.get(label)
    if position is None and label.isdigit() and int(label) < len(ids):
        position = int(label)
    if position is None:
        raise DatasetError(
            f"label {label!r} in {file} is no class of ImageNet; write a WordNet id, or its index "
            f"from 0 to {len(ids) - 1}"
        )
    return position


_POSITIONS = {wnid: i for i, wnid in enumerate(imagenet().ids)}
