"""Encoding a text set: block by block, texts that the model has encoded before copied.

Dimensions: M texts, B rows of a block, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
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


class TextModel(Protocol):
    """A model of the store whose texts are asked for; it may be loaded only for a new one."""

    @property
    def name(self) -> str:
        """Its name in the store."""

    @property
    def model(self) -> Model:
        """The model itself."""

    @property
    def precision(self) -> str:
        """What it runs in."""

    @property
    def identity(self) -> str:
        """Digest of what must not change between runs."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How embeddings came about: versions, device."""


def encode_texts(
    store: Store,
    model: TextModel,
    texts: str,
    progress: Progress,
    known: KnownTexts | None = None,
) -> None:
    """Encode what is missing of a text set, and finish its run.

    Where several sets are encoded in a row, `known` need not be found anew for each.
    """
    run = _planned(store, model, texts)
    if run.manifest is not None:
        return
    missing = run.missing()
    if missing:
        _, frame = store.texts(texts)
        known = known or KnownTexts(store, model.name)
        left = run.plan.count(missing)
        stage = f"{model.name}: texts {texts}"
        progress.begin(stage, run.plan.n_rows, run.plan.n_rows - left, "texts")
        for block in range(run.plan.n_blocks):
            start, stop = run.plan.rows(block)
            rows = frame["text"][start:stop]
            if block in missing:
                embeddings = known.fill(rows, model, run.plan.batch_rows)
                _refuse_non_finite(embeddings, rows, start)
                run.commit(block, {"embeddings": embeddings}, provenance=model.provenance)
                progress.advance(len(rows))
            known.add(rows, partial(run.read, block, "embeddings"))
        progress.end()
    run.finish()


def _planned(store: Store, model: TextModel, texts: str) -> BlockRun:
    """Plan the encoding of a text set, or take over the plan that is there."""
    manifest = read_manifest(store.files, layout.texts(texts))
    assert manifest is not None, "the text set is committed before it is encoded"
    n_rows = int(manifest.facts["n_rows"])
    block_rows = min(BLOCK_TEXTS, n_rows)
    shape = (n_rows, store.model(model.name).embedding_dim)
    plan = Plan(
        kind="text-embeddings",
        n_rows=n_rows,
        block_rows=block_rows,
        batch_rows=BATCH_SIZE,
        precision=model.precision,
        inputs={"texts": manifest.digest, "model": model.identity},
        arrays=(lay_out(schema.TEXT_EMBEDDINGS, shape, block_rows),),
    )
    return BlockRun.start(store.files, layout.text_embeddings(model.name, texts), plan)


class KnownTexts:
    """Texts that a model has encoded already, and where their embeddings are."""

    def __init__(self, store: Store, model: str) -> None:
        self._dim = store.model(model).embedding_dim
        self._parts: list[Callable[[], Any]] = []  # each gives rows of embeddings
        self._known = pl.DataFrame(schema={"text": pl.String, "part": pl.Int32, "row": pl.UInt32})
        for name in store.text_sets(model):
            self.add(store.texts(name)[1]["text"], partial(store.text_embeddings, model, name))

    def add(self, texts: pl.Series, embeddings: Callable[[], Any]) -> None:
        """Note where texts are: row i of what `embeddings` gives. What is known stays."""
        part = pl.lit(len(self._parts), pl.Int32)
        rows = pl.DataFrame({"text": texts}).select("text", part=part, row=pl.row_index())
        rows = rows.unique("text", keep="first", maintain_order=True)
        rows = rows.join(self._known, on="text", how="anti", maintain_order="left")
        self._known = pl.concat([self._known, rows])
        self._parts.append(embeddings)

    def new(self, texts: pl.Series) -> pl.Series:
        """Return the texts that only the model can tell, each once, in order."""
        frame = pl.DataFrame({"text": texts}).unique(maintain_order=True)
        return frame.join(self._known, on="text", how="anti", maintain_order="left")["text"]

    def fill(self, texts: pl.Series, model: TextModel, batch_rows: int) -> F32:
        """Return the texts' embeddings, (B, D), running the model only for new ones, once each."""
        frame = pl.DataFrame({"text": texts})
        found = frame.join(self._known, on="text", how="left", maintain_order="left")
        out = np.empty((len(texts), self._dim), np.float32)
        for (number,), part in found.with_row_index("i").group_by("part", maintain_order=True):
            into = part["i"].to_numpy()
            if number is None:
                new = self.new(texts)
                places = pl.DataFrame({"text": new}).with_row_index("place")
                place = part.join(places, on="text", maintain_order="left")["place"].to_numpy()
                out[into] = embed_all_texts(model.model, new.to_list(), batch_rows)[place]
            else:
                out[into] = self._parts[int(str(number))]()[part["row"].to_numpy()]
        return out


def _refuse_non_finite(embeddings: F32, texts: pl.Series, start: int) -> None:
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        i = int(np.argmin(finite))
        raise NonFiniteError(
            f"the model gives NaN or infinity for text {start + i} ({texts[i]!r}); "
            "check its weights, or try --precision float32"
        )
