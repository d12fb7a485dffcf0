"""SPECs taken apart, and named."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError, ModelError, UnknownNameError
from embedstore.models import LOADERS, adapter, load
from embedstore.models.specs import MAX_NAME, default_name, is_path, parse, unknown
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
    ],
)
def test_default_names(spec, name):
    assert default_name(spec) == name


@settings(deadline=None)
@given(st.from_regex(r"(timm|open_clip|python):[^?]+(\?[a-z]+=[^&=]+)?", fullmatch=True))
def test_default_names_are_legal_folders(text):
    name = default_name(text)
    assert checked_name("model", name) == name
    assert len(name.encode()) <= MAX_NAME


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
    with pytest.raises(UnknownNameError, match="choose one of: open_clip, python, timm"):
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
