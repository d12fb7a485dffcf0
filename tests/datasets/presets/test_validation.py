"""ImageNet's validation pictures: every way they lie, every file of labels, every annotation."""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import polars as pl
import pytest
import scipy.io

from embedstore.datasets.presets import imagenet_annotations, imagenet_labels
from embedstore.datasets.presets.source import PresetSource
from embedstore.errors import DatasetError
from embedstore.labels import judgements
from embedstore.prompts import imagenet
from embedstore.store.datasets import DatasetRecord

NAMES = [f"ILSVRC2012_val_0000000{i}.JPEG" for i in (1, 2, 3)]
WNIDS = ["n07714571", "n01440764", "n15075141"]  # 936, 0, 999
LABELS = [imagenet().ids.index(wnid) for wnid in WNIDS]


@pytest.fixture(autouse=True)
def _no_packages(monkeypatch):
    """Leave out what packages of this machine carry, so that only the copy counts."""
    monkeypatch.setattr(imagenet_labels, "in_package", lambda *_: None)
    monkeypatch.setattr(imagenet_annotations, "in_package", lambda *_: None)


def listing(root, options=""):
    return PresetSource("imagenet-val", f"{root}?partial=1{options}").listing()


def test_class_folders_and_a_flat_folder_are_one_data_set(copy, write, tmp_path):
    copy(*(f"folders/val/{w}/{n}" for w, n in zip(WNIDS, NAMES, strict=True)))
    copy(*(f"flat/{n}" for n in NAMES))
    write("flat/labels.txt", "\n".join(f"{n} {w}" for n, w in zip(NAMES, WNIDS, strict=True)))
    folders, flat = listing(tmp_path / "folders"), listing(tmp_path / "flat")
    assert folders.paths == [f"{w}/{n}" for w, n in zip(WNIDS, NAMES, strict=True)]
    for found in (folders, flat):
        assert found.sample_ids == [n.removesuffix(".JPEG") for n in NAMES]
        assert found.labels == LABELS
        assert found.classes == imagenet()
        assert found.spaces == ("imagenet-a", "imagenet-r", "objectnet")


ROWS = list(zip(NAMES, WNIDS, LABELS, strict=True))
FILES = {
    "LOC_val_solution.csv": "ImageId,PredictionString\n"
    + "".join(f"{n[:-5]},{w} 1 2 3 4 {w} 5 6 7 8 \n" for n, w, _ in reversed(ROWS)),
    "filename_label.csv": "file_name,label\n" + "".join(f"{n},{i}\n" for n, _, i in ROWS),
    "val.txt": "".join(f"{n} {i}\n" for n, _, i in reversed(ROWS)),
    "val_labels.txt": "".join(f"{w}\n" for w in WNIDS),
    "labels.txt": "".join(f"{i}\n" for i in LABELS),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", ["images/", "", "elsewhere/"])
def test_files_of_labels(copy, write, name, place):
    root = copy(*(f"val/{n}" for n in NAMES)) if place != "images/" else copy(*NAMES)
    file = write(name if place == "images/" else f"{place}{name}", FILES[name])
    found = listing(root, f"&labels={file}" if place == "elsewhere/" else "")
    assert found.labels == LABELS
    assert f"are from {file}" in found.notices[0]


def test_the_devkit_counts_classes_its_own_way(copy, write):
    root = copy(*(f"val/{n}" for n in NAMES))
    folder = "ILSVRC2012_devkit_t12/data"
    write(f"{folder}/ILSVRC2012_validation_ground_truth.txt", "2\n3\n1\n")
    with pytest.raises(
        DatasetError, match=r"in the devkit's own order; put the devkit's meta\.mat"
    ):
        listing(root)
    devkit = [(1, WNIDS[2]), (2, WNIDS[0]), (3, WNIDS[1])]
    synsets = np.array(devkit, [("ILSVRC2012_ID", "i4"), ("WNID", "O")])
    scipy.io.savemat(root / folder / "meta.mat", {"synsets": synsets})
    assert listing(root).labels == LABELS
    write(f"{folder}/ILSVRC2012_validation_ground_truth.txt", "2\n3\n9\n")
    with pytest.raises(DatasetError, match=r"does not hold class numbers .* lacks '9'"):
        listing(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n1000\n", "counts classes from 1, in an order unknown"),
        ("n01440764\nn99999999\nn01440764\n", "label 'n99999999' in .* is no class of ImageNet"),
        ("0\n1000\n3\n", "label '1000' in .* is no class of ImageNet"),
        ("a b c\n", "does not hold a label a line"),
    ],
)
def test_bad_labels(copy, write, text, message):
    root = copy(*NAMES)
    write("labels.txt", text)
    with pytest.raises(DatasetError, match=message):
        listing(root)


def test_a_csv_of_other_columns(copy, write):
    root, file = copy(*NAMES), write("x.csv", "id,class\n1,2\n")
    with pytest.raises(DatasetError, match="does not hold the columns file_name,label or ImageId"):
        listing(root, f"&labels={file}")


def test_a_flat_folder_without_labels_says_what_to_do(copy):
    with pytest.raises(DatasetError, match=r"neither class folders nor .* pip install imagenet-x"):
        listing(copy(*NAMES))


def test_pictures_without_a_label_are_missing_something(copy, write):
    root = copy(*NAMES)
    write("val.txt", f"{NAMES[0]} 5\n")
    assert listing(root).labels == [5, None, None]
    with pytest.raises(DatasetError, match=f"3 of 50,000 .*labels in .* of 2 .* as {NAMES[1]}"):
        PresetSource("imagenet-val", str(root)).listing()


def test_two_pictures_of_one_name_are_refused(copy):
    root = copy(f"{WNIDS[0]}/{NAMES[0]}", f"{WNIDS[1]}/{NAMES[0]}")
    with pytest.raises(
        DatasetError, match="two pictures below .* are named ILSVRC2012_val_00000001"
    ):
        listing(root)


def test_real_labels_by_the_files_numbers(copy, write):
    root = copy(f"{WNIDS[1]}/{NAMES[2]}", f"{WNIDS[0]}/{NAMES[0]}")
    assert listing(root).annotations is None
    write("real.json", json.dumps([[936, 5], [7], [], *([[]] * 49_997)]))
    found = listing(root)
    assert found.annotations["real_labels"].to_list() == [[936, 5], []]
    assert found.spaces[-1] == "imagenet-real"
    write("real.json", "[[1]]")
    with pytest.raises(DatasetError, match=r"real\.json does not hold a list of 50,000 lists"):
        listing(root)
    write("real.json", json.dumps([[1000], *([[]] * 49_999)]))
    with pytest.raises(DatasetError, match="does not hold class indices from 0 to 999"):
        listing(root)


def test_other_pictures_have_no_real_labels(copy, write):
    root = copy(f"{WNIDS[0]}/n07714571_tench.JPEG")
    write("real.json", "[]")
    found = listing(root)
    assert (found.annotations, found.labels) == (None, [936])


def test_real_labels_are_judged_with_several_right_classes(copy, write):
    root = copy(f"{WNIDS[0]}/{NAMES[0]}", f"{WNIDS[1]}/{NAMES[1]}")
    write("real.json", json.dumps([[936, 5], *([[]] * 49_999)]))
    found = listing(root)
    record = DatasetRecord("v", "", "imagenet", imagenet().ids, (), 2, "", spaces=found.spaces)
    samples = pl.DataFrame({"label": found.labels}).hstack(found.annotations)
    by_name = {j.space.name: j for j in judgements(imagenet().ids, record, samples)}
    logits = np.zeros((2, 1000), np.float32)
    logits[:, 5] = 1
    failed = np.zeros(2, bool)
    real, own = (by_name[space](logits, 0, failed) for space in ("imagenet-real", "all"))
    assert real.correct.tolist() == [True, False]
    assert real.labelled.tolist() == [True, False]  # nobody saw anything in the second
    assert own.correct.tolist() == [False, False]


def factors(name, **marks):
    return json.dumps({"file_name": name, "class": 1, "pose": 0, "color": 0, **marks})


def test_visual_factors_are_joined_by_the_files_names(copy, write):
    root = copy(*(f"val/{w}/{n}" for w, n in zip(WNIDS, NAMES, strict=True)))
    top = "imagenet_x_val_top_factor.jsonl"
    write(top, f"{factors(NAMES[2], pose=1, one_word='x')}\n{factors(NAMES[0], color=1)}\n")
    write("imagenet_x_val_multi_factor.jsonl", factors(NAMES[0], pose=1, color=1))
    write("prototypical_paths.csv", f"file_name\n{NAMES[1]}\n")
    columns = listing(root).annotations.to_dict(as_series=False)
    assert columns == {
        "pose": [0, None, 1],
        "color": [1, None, 0],
        "multi_pose": [1, None, None],
        "multi_color": [1, None, None],
        "prototype": [False, True, False],
    }
    only = listing(root / "val", f"&imagenet-x={root / top}").annotations
    assert only.columns == ["pose", "color"]
    assert listing(root / "val", f"&imagenet-x={root}").annotations.columns == [*columns]
    write(top, '{"a": 1}')
    with pytest.raises(DatasetError, match="does not hold a line of file_name and factors"):
        listing(root)
    write(top, '{"a"')
    with pytest.raises(DatasetError, match="is no JSON lines: .* in line 1"):
        listing(root)


def test_files_beside_that_are_odd(copy, write):
    root = copy(f"val/{WNIDS[0]}/{NAMES[0]}")
    top = "imagenet_x_val_top_factor.jsonl"
    write(top, f'{factors(NAMES[0], pose=1)[:-1]}, "justification": "a\u2028b"}}\r\n\r\n')
    assert listing(root).annotations["pose"].to_list() == [1]
    write(top, "[1]")
    with pytest.raises(DatasetError, match="does not hold a JSON object a line; get the file"):
        listing(root)
    damaged = bytearray(gzip.compress(random.Random(0).randbytes(999)))
    damaged[20:60] = bytes(40)
    (root / top).write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"cannot read .*gzip is damaged or cut short; check"):
        listing(root)


def test_names_with_dots_are_told_apart(copy, write):
    root = copy("val/a.1.JPEG", "val/a.2.JPEG")
    write("val.txt", "a.2.JPEG 5\na.1.JPEG 7\n")
    assert listing(root).labels == [7, 5]
    (root / "val.txt").unlink()
    write("LOC_val_solution.csv", f"ImageId,PredictionString\na.1,{WNIDS[0]} 1\na.2,{WNIDS[1]} 1\n")
    assert listing(root).labels == LABELS[:2]


def test_installed_packages_fill_in(copy, write, monkeypatch, tmp_path):
    """A package's files are read without its code, which may import anything."""
    write("site/imagenet_x/__init__.py", "raise RuntimeError('imported')")
    write("site/imagenet_x/annotations/filename_label.csv", FILES["filename_label.csv"])
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(imagenet_annotations, "in_package", lambda *_: None)
    copy(*(f"pictures/{n}" for n in NAMES))
    assert listing(tmp_path / "pictures").labels == LABELS


def test_timms_real_labels_agree_with_the_labels_of_most_pictures(copy, monkeypatch):
    """On real numbers: 50 pictures' labels from imagenet-x's table are among timm's, but few."""
    monkeypatch.undo()
    pytest.importorskip("timm")
    random.seed(1)
    if imagenet_labels.in_package("imagenet_x", "annotations/filename_label.csv") is None:
        pytest.skip("the package imagenet-x, which carries the labels, is not installed")
    numbers = random.sample(range(1, 50_001), 50)
    found = listing(copy(*(f"ILSVRC2012_val_{n:08d}.JPEG" for n in numbers)))
    real = found.annotations["real_labels"].to_list()
    agree = [label in labels for label, labels in zip(found.labels, real, strict=True) if labels]
    assert sum(agree) / len(agree) > 0.7
