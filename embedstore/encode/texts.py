"""Encoding a text set: block by block, texts that the model has encoded before copied.

Dimensions: M texts, B rows of a block, D embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.encode.loading import Loaded
from embedstore.encode.progress import Progress
from embedstore.errors import NonFiniteError
from embedstore.models.base import Model
from embedstore.models.texts import BATCH_SIZE, embed_all_texts
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out

F32 = npt.NDArray[np.float32]
#: Texts of a block: a minute or two on a CPU, and enough to sort by length.
BLOCK_TEXTS = 2048


def encode_texts(store: Store, loaded: Loaded, texts: str, progress: Progress) -> None:
    """Encode what is missing of a text set, and finish its run."""
    run = _planned(store, loaded, texts)
    if run.manifest is not None:
        return
    missing = run.missing()
    if missing:
        _, frame = store.texts(texts)
        known = KnownTexts(store, loaded.name)
        left = sum(stop - start for start, stop in map(run.plan.rows, missing))
        stage = f"{loaded.name}: texts {texts}"
        progress.begin(stage, run.plan.n_rows, run.plan.n_rows - left, "texts")
        for block in missing:
            start, stop = run.plan.rows(block)
            rows = frame["text"][start:stop]
            embeddings = known.fill(rows, loaded.model, run.plan.batch_rows, progress)
            _refuse_non_finite(embeddings, rows, start)
            run.commit(block, {"embeddings": embeddings}, provenance=loaded.provenance)
        progress.end()
    run.finish()


def _planned(store: Store, loaded: Loaded, texts: str) -> BlockRun:
    """Plan the encoding of a text set, or take over the plan that is there."""
    manifest = read_manifest(store.files, layout.texts(texts))
    assert manifest is not None, "the text set is committed before it is encoded"
    n_rows = int(manifest.facts["n_rows"])
    block_rows = min(BLOCK_TEXTS, n_rows)
    shape = (n_rows, loaded.model.embedding_dim)
    plan = Plan(
        kind="text-embeddings",
        n_rows=n_rows,
        block_rows=block_rows,
        batch_rows=BATCH_SIZE,
        precision=loaded.precision,
        inputs={"texts": manifest.digest, "model": loaded.identity},
        arrays=(lay_out(schema.TEXT_EMBEDDINGS, shape, block_rows),),
    )
    return BlockRun.start(store.files, layout.text_embeddings(loaded.name, texts), plan)


class KnownTexts:
    """Texts that a model has encoded already, in any of its finished text sets."""

    def __init__(self, store: Store, model: str) -> None:
        self._arrays = [store.text_embeddings(model, name) for name in store.text_sets(model)]
        frames = [
            store.texts(name)[1].select("text", array=pl.lit(i), row=pl.row_index())
            for i, name in enumerate(store.text_sets(model))
        ]
        empty = pl.DataFrame(schema={"text": pl.String, "array": pl.Int32, "row": pl.UInt32})
        self._known = pl.concat([empty, *frames]).unique("text", keep="first", maintain_order=True)

    def fill(self, texts: pl.Series, model: Model, batch_rows: int, progress: Progress) -> F32:
        """Return the texts' embeddings, (B, D), running the model only for new ones."""
        found = pl.DataFrame({"text": texts}).join(
            self._known, on="text", how="left", maintain_order="left"
        )
        out = np.empty((len(texts), model.embedding_dim), np.float32)
        for (number,), part in found.with_row_index("i").group_by("array", maintain_order=True):
            into = part["i"].to_numpy()
            if number is None:
                new = texts.gather(part["i"]).to_list()
                out[into] = embed_all_texts(model, new, batch_rows)
            else:
                out[into] = self._arrays[int(str(number))][part["row"].to_numpy()]
        progress.advance(len(texts))
        return out


def _refuse_non_finite(embeddings: F32, texts: pl.Series, start: int) -> None:
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        i = int(np.argmin(finite))
        raise NonFiniteError(
            f"the model gives NaN or infinity for text {start + i} ({texts[i]!r}); "
            "check its weights, or try --precision float32"
        )
