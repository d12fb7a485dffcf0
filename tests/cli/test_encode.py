"""What `--data` may say, a name and a source or a preset; what is said of words left out."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from cli import main
from cli.encode import _named_sources, _next, _request

KEPT = "embeddings,outcomes,logits"


def test_encode_alone_asks_for_its_store():
    said = CliRunner().invoke(main, ["encode"])
    assert said.exit_code == 2
    assert "Missing argument 'STORE'" in said.stderr


def test_a_preset_is_named_after_itself_and_by_the_user_where_he_says_so():
    assert _named_sources("imagenet-a:/data/a") == [("imagenet-a", "imagenet-a:/data/a")]
    assert _named_sources("mine=imagenet-a:/data/a") == [("mine", "imagenet-a:/data/a")]
    assert _named_sources("pets=folder:/a=b") == [("pets", "folder:/a=b")]


def test_a_benchmark_of_corruptions_stands_for_all_that_are_there(tmp_path):
    for place in ("fog/1", "fog/3", "snow/3"):
        (tmp_path / place).mkdir(parents=True)
    whole = _named_sources(f"imagenet-c:{tmp_path}")
    assert len(whole) == 75
    (fog, *others) = _named_sources(f"imagenet-c:{tmp_path}?severity=3&corruption=fog")
    assert fog == ("imagenet-c--fog--3", f"imagenet-c:{tmp_path}?corruption=fog&severity=3")
    assert others == []


def test_a_partial_benchmark_stands_for_the_folders_that_are_there(tmp_path, capsys):
    for place in ("fog_3d/1", "fog_3d/2", "near_focus/1"):
        (tmp_path / place).mkdir(parents=True)
    source = f"imagenet-3dcc:{tmp_path}?partial=1"
    names = ["near_focus--1", "fog_3d--1", "fog_3d--2"]
    assert [name for name, _ in _named_sources(source)] == [f"imagenet-3dcc--{n}" for n in names]
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path} lacks 57 of 60 folders of ")
    assert "xy_motion_blur" in said
    (absent,) = _named_sources(f"{source}&corruption=fog_3d&severity=5")  # refused when it is read
    assert absent[0] == "imagenet-3dcc--fog_3d--5"
    assert not capsys.readouterr().err


def test_what_comes_next_follows_what_was_asked():
    def following(**changes) -> str:
        request = {"models": ("timm:x",), "data": (), "corrupt": (), "prompts": ("name",)}
        request |= {"classes": None, "batch_size": "auto", "compile_": False, "keep": KEPT}
        request |= {"protocol": None, "reference_head": None, "decoding": "likelihood"}
        return _next("s", _request(**(request | changes)))

    assert following(data=("a=folder:/d",)) == "embedstore analyze accuracy s"
    benchmark = {"data": ("imagenet-c:/d?corruption=fog",)}
    assert following(**benchmark) == "embedstore analyze corruptions s"
    assert following(**benchmark, patches=("last",)) == (
        "embedstore import pairs s FILE, embedstore analyze correspondence s"
    )


@pytest.mark.parametrize("text", ["folder:/data", "/data", "csv:a=b.csv"])
def test_other_sources_need_a_name(text):
    with pytest.raises(click.BadParameter, match="must be NAME=SOURCE"):
        _named_sources(text)


@pytest.mark.parametrize(
    ("option", "incomplete", "expected"),
    [
        ("--protocol", "", ["two-options", "letters-", "n-way-"]),
        ("--protocol", "l", ["letters-"]),
        ("--decoding", "", ["likelihood", "greedy"]),
        ("--keep", "emb", ["embeddings,outcomes,logits", "embeddings,outcomes"]),
        ("--corrupt", "fo", ["fog:", "fog_3d:"]),
        ("--corrupt", "fog:", [f"fog:{severity}" for severity in ("1", "2", "3", "4", "5", "all")]),
        ("--corrupt", "none:", []),
        ("--reference-head", "", ["a@own", "b@own"]),
        ("--reference-head", "b@", ["b@own"]),
    ],
)
def test_tab_completes_what_options_take(store, option, incomplete, expected):
    complete = ShellComplete(main, {}, "embedstore", "_EMBEDSTORE_COMPLETE")
    words = ["encode", str(store.files.root), option]
    assert [i.value for i in complete.get_completions(words, incomplete)] == expected


def test_without_a_store_no_reference_is_offered(tmp_path):
    complete = ShellComplete(main, {}, "embedstore", "_EMBEDSTORE_COMPLETE")
    for words in (["encode"], ["encode", str(tmp_path / "none")]):
        assert complete.get_completions([*words, "--reference-head"], "") == []
