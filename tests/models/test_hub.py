"""A hub out of reach is one line, soon; libraries stay quiet."""

from __future__ import annotations

import logging
import time

import pytest
from huggingface_hub import constants

from embedstore.errors import ModelError
from embedstore.models import hub, load


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "form"),
    [
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:/path/to/directory"),
        ("open_clip:hf-hub:laion/some-model", "open_clip:/path/to/directory"),
        ("timm:resnet18", r"timm:resnet18\?checkpoint=FILE"),
    ],
)
def test_unreachable_hub_is_one_line_with_the_local_forms(no_hub, spec, form):
    start = time.monotonic()
    with pytest.raises(ModelError, match=f"cannot be fetched.*{form}") as caught:
        load(spec)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 3 * hub.PATIENCE
    assert constants.HF_HUB_OFFLINE is False


def test_local_models_ask_no_hub(monkeypatch, tmp_path):
    from embedstore.testing.models import save_random_open_clip, save_random_timm, tiny_config

    monkeypatch.setattr(hub, "_hub_answers", lambda: pytest.fail("the hub was asked"))
    load(f"open_clip:{save_random_open_clip(tmp_path, tiny_config('clip'))}")
    load(f"timm:resnet18?checkpoint={save_random_timm(tmp_path / 'r.pth', 'resnet18')}")


def test_root_logger_is_left_as_it_was(capsys):
    root = logging.getLogger()
    before = list(root.handlers), list(root.filters)
    with hub.quiet_root_logger():
        logging.warning("nobody asked")
    assert (list(root.handlers), list(root.filters)) == before
    assert "nobody asked" not in capsys.readouterr().err


def test_brief_is_one_short_line():
    assert hub.brief(ValueError("a\n b")) == "a b"
    assert hub.brief(ValueError()) == "ValueError"
    assert len(hub.brief(ValueError("x" * 999))) == 160
