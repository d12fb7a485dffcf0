"""SPECs taken apart, and named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError, ModelError, UnknownNameError
from embedstore.models import LOADERS, adapter, load
from embedstore.models.specs import (
    MAX_NAME,
    default_name,
    expanded,
    interpolation,
    is_path,
    local_paths,
    parse,
    unknown,
)
from embedstore.store.names import checked_name


def test_parts():
    spec = parse("timm:resnet50.a1_in1k?checkpoint=/data/my=weights.pth&mean=0.5,0.4,0.3")
    assert (spec.kind, spec.rest) == ("timm", "resnet50.a1_in1k")
    assert spec.options == {"checkpoint": "/data/my=weights.pth", "mean": "0.5,0.4,0.3"}
    assert parse("open_clip:hf-hub:org/name").rest == "hf-hub:org/name"


@pytest.mark.parametrize("text", ["", "resnet50", "timm:", ":resnet50", "timm:?mean=1"])
def test_no_kind_or_no_name(text):
    with pytest.raises(ModelError):
        parse(text)


@pytest.mark.parametrize("query", ["mean", "mean=", "=1", "mean=1&mean=2", "mean=1&"])
def test_options_must_be_pairs(query):
    with pytest.raises(ModelError, match="not one key=value"):
        parse(f"timm:resnet50?{query}")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip--ViT-B-32--laion2b_s34b_b79k"),
        ("open_clip:/data/mydir", "open_clip--mydir"),
        ("open_clip:/data/mydir/", "open_clip--mydir"),
        ("open_clip:./my dir", "open_clip--my-dir"),
        ("open_clip:hf-hub:org/name", "open_clip--hf-hub--org--name"),
        ("timm:resnet50", "timm--resnet50"),
        ("timm:resnet50?checkpoint=/a/w.pth&mean=0.5", "timm--resnet50--checkpoint-w--mean-0.5"),
        ("timm:resnet50?mean=0.1,0.2,0.3", "timm--resnet50--mean-0.1-0.2-0.3"),
        ("python:my.module:function", "python--my.module--function"),
        ("open_clip:ViT-B-16?checkpoint=/a/e10.pt", "open_clip--ViT-B-16--checkpoint-e10"),
        (
            "wise-ft:open_clip:ViT-B-16/openai+open_clip:ViT-B-16?checkpoint=/a/e10.pt@0.50",
            "wise-ft-0.5--open_clip--ViT-B-16--openai+open_clip--ViT-B-16--checkpoint-e10",
        ),
    ],
)
def test_default_names(spec, name):
    assert default_name(spec) == name


@settings(deadline=None)
@given(st.from_regex(r"(timm|open_clip|python):[^?\0]+(\?[a-z]+=[^&=\0]+)?", fullmatch=True))
def test_default_names_are_legal_folders(text):
    name = default_name(text)
    assert checked_name("model", name) == name
    assert len(name.encode()) <= MAX_NAME


@settings(deadline=None)
@given(
    st.text(st.sampled_from("a+@=.&0 "), max_size=12),
    st.text(st.sampled_from("a+@?=.0 "), max_size=12),
    st.floats(0, 1),
)
def test_two_specs_come_apart_again_whatever_their_files_are_called(first, second, alpha):
    a, b = f"open_clip:/m{first}/x", f"timm:resnet18?checkpoint=/w{second}/y"
    found = interpolation(f"wise-ft:{a}+{b}@{alpha!r}")
    assert (found.first, found.second, found.alpha) == (a, b, alpha)


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ("wise-ft:timm:a+timm:b", "ends in no @ALPHA"),
        ("wise-ft:timm:a+timm:b@", "ends in no @ALPHA"),
        ("wise-ft:timm:a+timm:b@1.5", "ends in no @ALPHA"),
        ("wise-ft:timm:a+timm:b@nan", "ends in no @ALPHA"),
        ("wise-ft:timm:a@0.5", "names one model, not two"),
        ("wise-ft:timm:a+b@0.5", "names one model, not two"),
        ("wise-ft:timm:a+timm:b+timm:c@0.5", "names 3 models, not two"),
        ("wise-ft:timm:+timm:b@0.5", "is not KIND:NAME"),
        ("wise-ft:wise-ft:timm:a@0.5+timm:b@0.5", "interpolates what is interpolated"),
    ],
)
def test_what_is_no_interpolation_is_said(spec, wrong):
    with pytest.raises(ModelError, match=wrong):
        parse(spec)


def test_local_files_of_both_parts_are_named():
    spec = "wise-ft:open_clip:/a/zero+timm:resnet18?checkpoint=~/b.pt@0.5"
    assert local_paths(spec) == [Path("/a/zero"), Path("~/b.pt").expanduser()]
    assert local_paths("open_clip:ViT-B-32/openai") == []
    assert expanded("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


def test_long_names_stay_apart():
    names = {default_name(f"timm:{'x' * 300}{i}") for i in range(3)}
    assert len(names) == 3


def test_paths_and_names(tmp_path, monkeypatch):
    assert all(map(is_path, ["/a", "./a", "../a", "~/a", "."]))
    assert not is_path("ViT-B-32/openai")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert not is_path("mine")
    (tmp_path / "mine" / "open_clip_config.json").write_text("{}")
    assert is_path("mine")


def test_unknown_names_show_short_lists_whole_and_long_ones_in_part():
    assert "a, b, c" in str(unknown("letter", "d", "abc"))
    many = [f"model{i}" for i in range(1000)]
    message = str(unknown("model", "Model77", many))
    assert "model77" in message
    assert len(message) < 200


def test_kinds():
    with pytest.raises(UnknownNameError, match="choose one of: open_clip, python, timm, wise-ft"):
        load("jax:resnet")
    with pytest.raises(EmbedStoreError, match="'timm' is taken"):
        adapter("timm")(LOADERS["timm"])


def test_models_import_no_model_library():
    code = (
        "import sys, embedstore.models, embedstore.models.texts; "
        "print([m for m in ('torch', 'timm', 'open_clip', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_library_names_its_install_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbedStoreError, match=r"pip install 'embedstore\[encode\]'"):
        load("timm:resnet18")


def test_a_nul_is_refused():
    with pytest.raises(ModelError, match="holds a NUL"):
        default_name("timm:~\0")
