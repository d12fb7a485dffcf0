"""Embeddings of a few texts or pictures that no store holds: what a search is asked.

Dimensions: Q queries, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedstore.datasets import access
from embedstore.datasets.pictures import prepare
from embedstore.encode.device import Forward
from embedstore.encode.loading import Loaded
from embedstore.encode.progress import Progress
from embedstore.encode.stored_model import StoredModel
from embedstore.errors import (
    DatasetError,
    EmbedStoreError,
    ModelError,
    NonFiniteError,
    PictureError,
)
from embedstore.models.texts import embed_all_texts
from embedstore.store import Store

F32 = npt.NDArray[np.float32]


def embed_queries(
    store: Store,
    model: str,
    *,
    texts: Sequence[str] = (),
    images: Sequence[str] = (),
    progress: Progress | None = None,
) -> F32:
    """Load a model of the store once and embed texts, then pictures: -> (Q, D), not normalised.

    Parameters
    ----------
    store, model
        The model is loaded as its record says, in the precision of its embeddings, on a GPU if
        there is one.
    texts
        Encoded as they are: no template is put around them.
    images
        Paths or URLs of picture files, prepared as for the model's data sets.
    progress
        Told how long loading took.

    Raises
    ------
    EmbedStoreError
        If a text is empty.
    ModelError
        If the model cannot be loaded, or has no text tower and is given a text.
    IdentityError
        If it is not the model any more whose embeddings the store holds.
    DatasetError
        If a picture cannot be read.
    NonFiniteError
        If the model gives NaN or infinity.
    """
    progress = progress or Progress()
    record = store.model(model)
    if texts and not record.has_text:
        raise ModelError(
            f"model {model!r} has no text tower; search with a picture, or choose another model"
        )
    if not all(text.strip() for text in texts):
        raise EmbedStoreError("a text to search with is empty; say what the picture should show")
    read = [_read(path) for path in images]  # a wrong path is known before the model is loaded
    loaded = StoredModel(store, model, "auto", progress).loaded
    embeddings = [embed_all_texts(loaded.model, texts)] if texts else []
    embeddings += [_embedded(loaded, d, path) for d, path in zip(read, images, strict=True)]
    if not embeddings:
        return np.zeros((0, record.embedding_dim), np.float32)
    return _finite(np.concatenate(embeddings), [*texts, *images])


def _read(path: str) -> bytes:
    try:
        return access.read(access.local_path(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetError(f"cannot read {path}: {reason}; check the path after --image") from error


def _embedded(loaded: Loaded, data: bytes, path: str) -> F32:
    """Embed one picture: (1, D)."""
    try:
        pixels = prepare(data, loaded.model.transform)
    except PictureError as error:
        raise DatasetError(f"{path} cannot be used ({error}); choose another picture") from error
    forward = Forward(loaded.model, loaded.device, loaded.precision)
    return forward(pixels[None]).arrays()[0].copy()


def _finite(embeddings: F32, names: Sequence[str]) -> F32:
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise NonFiniteError(
            f"the model gives NaN or infinity for {names[int(np.argmin(finite))]!r}; check its "
            "weights, or ask something else"
        )
    return embeddings
