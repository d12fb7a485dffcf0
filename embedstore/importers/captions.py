"""Captions that come with embeddings, and embeddings of these captions.

Dimensions: N samples, R rows of the file, M captions of the data set, D embedding.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore import schema
from embedstore.errors import NonFiniteError
from embedstore.importers.matching import Match
from embedstore.importers.matrices import Matrix
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out

BLOCK_TEXTS = 8192


def captions_of(column: pl.Series) -> list[list[str]]:
    """Return the captions of each sample, from a column of one or none each: (N,)."""
    return [[text] if text else [] for text in column.cast(pl.String)]


def import_captions(
    store: Store, model: str, dataset: str, matrix: Matrix, captions: pl.Series, matched: Match
) -> list[str]:
    """Keep embeddings of captions for each text set of the data set that they cover; say what not.

    Parameters
    ----------
    store, model, dataset
        Where they belong.
    matrix
        (R, D).
    captions
        (R,) texts, null where there is none.
    matched
        Which row is which sample's.
    """
    names = store.dataset(dataset).captions
    if not names:
        return [f"embeddings of captions are left out: data set {dataset!r} has no captions"]
    said = pl.DataFrame({"row": matched.rows}).with_row_index("sample_index").drop_nulls()
    said = said.with_columns(text=captions.gather(said["row"]))
    return [_import_set(store, model, name, matrix, said) for name in names]


def _import_set(store: Store, model: str, name: str, matrix: Matrix, said: pl.DataFrame) -> str:
    texts = store.texts(name)[1].select("text", pl.col("sample_index").cast(pl.UInt32))
    found = texts.join(said, on=["sample_index", "text"], how="left", maintain_order="left")
    rows = found["row"].cast(pl.Int64)
    if rows.null_count():
        lost = found["text"].filter(rows.is_null())
        return (
            f"embeddings of {name} are left out: {len(lost):,} of its {len(rows):,} texts, such as "
            f"{lost[0]!r}, are not in the file"
        )
    manifest = read_manifest(store.files, layout.texts(name))
    assert manifest is not None
    shape = (len(rows), matrix.shape[1])
    block_rows = min(BLOCK_TEXTS, len(rows))
    plan = Plan(
        kind="text-embeddings",
        n_rows=len(rows),
        block_rows=block_rows,
        batch_rows=block_rows,
        precision=str(matrix.dtype),
        inputs={"texts": manifest.digest, "file": matrix.digest},
        arrays=(lay_out(schema.TEXT_EMBEDDINGS, shape, block_rows),),
    )
    run = BlockRun.start(store.files, layout.text_embeddings(model, name), plan)
    for block in run.missing():
        start, stop = run.plan.rows(block)
        taken = matrix.take(rows[start:stop].to_numpy()).astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(taken).all(axis=1))
        if len(wrong):
            raise NonFiniteError(
                f"row {rows[start + int(wrong[0])]} of {matrix.path / 'text_emb'} holds NaN or "
                "infinity; mend it, or take text_emb away"
            )
        run.commit(block, {"embeddings": taken})
    run.finish({"provenance": {"kind": "imported", **matrix.origin}})
    return f"embeddings of the {len(rows):,} captions of {name} are kept too"
