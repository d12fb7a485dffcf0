from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from embedstore.demo.pictures import lay_out, photographs
from embedstore.errors import MissingExtraError

pytest.importorskip("skimage")


def test_every_photograph_opens_and_is_described() -> None:
    image = pytest.importorskip("PIL.Image")
    pictures = photographs()
    assert len(pictures) == len({p.path for p in pictures}) == 19
    for picture in pictures:
        with image.open(picture.path) as opened:
            assert min(opened.size) >= 100
            opened.load()
        assert picture.class_name == picture.class_name.lower().strip() != ""
        assert picture.caption.endswith(".")
        assert "_" not in picture.class_name  # folders write spaces so


def test_captions_tell_pictures_apart() -> None:
    assert max(Counter(p.caption for p in photographs()).values()) == 1


def test_laid_out_pictures_are_those_of_the_wheel(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "pictures")
    laid_out = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    expected = {f"{p.class_name.replace(' ', '_')}/{p.path.name}": p.path for p in photographs()}
    assert laid_out.keys() == expected.keys()
    for name, path in laid_out.items():
        assert path.read_bytes() == expected[name].read_bytes()
        assert (
            path.stat().st_ino != expected[name].stat().st_ino
        )  # a copy: the wheel stays as it is


def test_laying_out_again_changes_nothing_and_mends_what_is_broken(tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    for path in folder.rglob("*.*"):
        os.utime(path, (1, 1))
    broken = folder / "cat" / "chelsea.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    lay_out(folder)
    assert broken.read_bytes() == whole
    assert [p for p in folder.rglob("*.*") if p.stat().st_mtime != 1] == [broken]


def test_without_scikit_image_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"'skimage'.*embedstore\[demo\]"):
        photographs()
