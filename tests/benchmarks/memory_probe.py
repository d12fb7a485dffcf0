"""A process whose memory `test_memory.py` watches: a bare forward loop, or a whole encode."""

from __future__ import annotations

import sys
from pathlib import Path

BATCH = 32


def bare(directory: str) -> None:
    """Run the model over ready tensors: what no encoder can do without."""
    import torch

    from embedstore.models import load

    model = load(f"open_clip:{directory}")
    model.to(torch.device("cpu"), torch.float32)
    ready = torch.randn(BATCH, 3, 224, 224)
    with torch.inference_mode():
        for _ in range(20):
            model.embed_images(ready)


def encode(directory: str, pictures: str, store: str) -> None:
    """Encode a folder into a store."""
    from embedstore import Store
    from embedstore.datasets.sources import open_source
    from embedstore.encode.encoder import encode as run
    from embedstore.encode.request import Options, Request

    models = [("probe", f"open_clip:{directory}")]
    data = [("pictures", open_source(f"folder:{pictures}"))]
    run(
        Store.open(Path(store), create=True),
        Request(models, data, [], options=Options(batch_size=BATCH)),
    )


if __name__ == "__main__":
    {"bare": bare, "encode": encode}[sys.argv[1]](*sys.argv[2:])
