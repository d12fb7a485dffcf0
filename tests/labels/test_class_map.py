"""Class maps: what a file may say, and what it may not."""

from __future__ import annotations

import pytest

from embedstore.errors import EmbedStoreError, InvalidNameError, UnknownNameError
from embedstore.labels import class_map


def written(tmp_path, text):
    path = tmp_path / "space.toml"
    path.write_text(text)
    return str(path)


def test_a_table_of_members_and_a_list_of_classes(tmp_path):
    found = class_map(
        written(tmp_path, 'name = "pets"\nrule = "mean"\n[classes]\ncat = ["a", "b"]\ndog = ["c"]')
    )
    assert (found.name, found.rule, found.labels) == ("pets", "mean", "label")
    assert found.members == {"cat": ("a", "b"), "dog": ("c",)}
    assert found.class_of == {"a": "cat", "b": "cat", "cat": "cat", "c": "dog", "dog": "dog"}
    kept = class_map(written(tmp_path, 'name = "few"\nclasses = ["x", "y"]'))
    assert kept.members == {"x": ("x",), "y": ("y",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "s"\ncolour = 1', "unknown key 'colour'"),
        ('name = "s"\nrule = "sum"', "choose one of: allowed, max, mean"),
        ('name = "s"\n[classes]\ncat = []', "at least one member"),
        ('name = "s"\n[classes]\ncat = "a"', "at least one member"),
        ('name = "s"\nclasses = []', "leave it out to keep"),
        ('name = "s"\nclasses = [["a"], ["b"]]', "a list of class ids"),
        ('name = "all"', "means something else"),
        ("name = 3 4", "is no TOML"),
    ],
)
def test_a_bad_file_is_named_with_what_to_do(tmp_path, text, message):
    with pytest.raises(EmbedStoreError, match=message):
        class_map(written(tmp_path, text))


def test_unknown_and_missing(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown label space 'nowhere'"):
        class_map("nowhere")
    with pytest.raises(EmbedStoreError, match="cannot read .*check the path"):
        class_map(str(tmp_path / "none.toml"))
    with pytest.raises(InvalidNameError, match="is empty"):
        class_map(written(tmp_path, 'classes = ["a"]'))
