from __future__ import annotations

from pathlib import Path

import pytest

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.prompts import prompt_set, prompt_set_names


@pytest.mark.parametrize(
    ("name", "constant"),
    [("openai-80", "OPENAI_IMAGENET_TEMPLATES"), ("openai-7", "SIMPLE_IMAGENET_TEMPLATES")],
)
def test_templates_are_those_of_open_clip_in_its_order(name: str, constant: str) -> None:
    open_clip = pytest.importorskip("open_clip")
    theirs = tuple(template("{}") for template in getattr(open_clip, constant))
    assert prompt_set(name).templates == theirs


def test_short_sets() -> None:
    assert prompt_set("photo").templates == ("a photo of a {}.",)
    assert prompt_set("name").templates == ("{}",)


def test_every_set_bears_its_name_and_has_one_gap_a_template() -> None:
    assert prompt_set_names() == ("openai-80", "openai-7", "photo", "name")
    for name in prompt_set_names():
        assert prompt_set(name).name == name
        assert all(template.count("{}") == 1 for template in prompt_set(name).templates)


def test_an_unknown_name_is_answered_with_the_choices() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown prompt set 'openai'; .*openai-80"):
        prompt_set("openai")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("mine.txt", "a sketch of a {}.\r\na {name} drawn as {}\r\n"),
        ("mine.json", '["a sketch of a {}.", "a {name} drawn as {}"]'),
        ("mine.toml", 'templates = ["a sketch of a {}.", "a {name} drawn as {}"]'),
    ],
)
def test_a_file_is_a_set_named_after_it(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_bytes(b"\xef\xbb\xbf" + text.encode())
    prompts = prompt_set(str(tmp_path / file))
    assert prompts.name == "mine"
    assert prompts.templates == ("a sketch of a {}.", "a {name} drawn as {}")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("a.txt", b"a photo\n", "exactly one {}"),
        ("a.txt", b"a {} on a {}\n", "exactly one {}"),
        ("a.txt", b"", "is empty"),
        ("a.txt", b"a {}\n\nthe {}\n", "line 2 of .* is empty"),
        ("a.txt", b"a {}\na {}\n", "more than once"),
        ("a.txt", b"a \xff {}\n", "not UTF-8"),
        ("a.json", b'{"templates": 1}', "no list of templates"),
        ("a.json", b"[]", "no list of templates"),
        ("a.json", b'["a {}", 3]', "template 2 .* is no text"),
        ("a.json", b'["a {}"', "no JSON"),
        ("a.toml", b"templates", "no TOML"),
        ("a.toml", b'prompts = ["a {}"]', "no list of templates"),
        ("photo.txt", b"a picture of a {}.", "would pass for the prompt set 'photo'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, file: str, text: bytes, message: str
) -> None:
    (tmp_path / file).write_bytes(text)
    with pytest.raises(EmbedStoreError, match=message):
        prompt_set(str(tmp_path / file))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmbedStoreError, match=r"cannot read .*absent.txt"):
        prompt_set(str(tmp_path / "absent.txt"))
