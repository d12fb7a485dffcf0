"""What an encode would take: a few batches measured, nothing written.

Dimensions: N samples, C classes, D embedding.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from embedstore.datasets.corrupted.source import CorruptSource
from embedstore.datasets.presets.source import PresetSource
from embedstore.datasets.sources import Listing, Source
from embedstore.encode.already import OWN
from embedstore.encode.answers.estimate import estimate_answers, n_done
from embedstore.encode.device import Forward, resolve_device, resolve_precision
from embedstore.encode.patches import chosen_layers, row_bytes
from embedstore.encode.pool import DecodePool
from embedstore.encode.progress import Progress
from embedstore.encode.request import BATCH_ROWS, Request, limited_name, n_workers
from embedstore.prompts import imagenet
from embedstore.schema import EMBEDDINGS, LOGITS, MAXIMUM, TEXT_EMBEDDINGS
from embedstore.store import Store, layout
from embedstore.store.contents import committed

if TYPE_CHECKING:
    from embedstore.models.base import Model

#: Batches that are timed, after one that is not.
N_BATCHES = 3
#: Texts that are timed.
N_TEXTS = 64
#: Bytes of one outcome before compression.
OUTCOME_BYTES = 33

ESTIMATE = {
    "model": pl.String,
    "dataset": pl.String,
    "n_images": pl.Int64,
    "n_done": pl.Int64,
    "images_per_second": pl.Float64,
    "n_texts": pl.Int64,
    "texts_per_second": pl.Float64,
    "hours": pl.Float64,
    "n_bytes": pl.Int64,
}


def estimate(path: str, request: Request, progress: Progress) -> pl.DataFrame:
    """Return one row a model and data set: what is there, what is left, hours and bytes it takes.

    Parameters
    ----------
    path
        Of the store; it need not exist, and nothing is written to it.
    request
        What would be encoded.
    progress
        Told which model is loaded.
    """
    from embedstore.models import load

    there = (Path(path) / layout.STORE).is_file()
    store = Store.open(path) if there else None
    listings = [(name, source, source.listing()) for name, source in request.data]
    device = resolve_device(request.options.device)
    rows: list[dict[str, object]] = []
    for model_name, spec in request.models:
        if request.answers(spec):
            rows += estimate_answers(store, model_name, spec, request, listings, progress)
            continue
        progress.notice(f"loading {spec}")
        model = load(spec)
        precision = resolve_precision(request.options.precision, device.type)
        forward = Forward(model, device, precision)
        model.to(device, forward.dtype, compile=request.options.compile)
        forward.layers = tuple(chosen_layers(model, request.options.patches))
        known = set(store.text_sets(model_name)) if store else set()
        measured = _Measured(store, model_name, forward, request, progress, known)
        rows += [measured.row(*listed) for listed in listings]
    return pl.DataFrame(rows, schema=ESTIMATE)


@dataclass(slots=True)
class _Measured:
    """One model over the data sets of a request; what is alike is measured once."""

    store: Store | None
    model_name: str
    forward: Forward
    request: Request
    progress: Progress
    known: set[str]  # text sets that are there, or counted for another data set
    rates: dict[tuple[type[Source], str], float] = field(default_factory=dict)  # pictures a second
    text_rate: float | None = None

    def row(self, name: str, source: Source, listing: Listing) -> dict[str, object]:
        """Return what a data set takes: columns of `ESTIMATE`."""
        model, store, request = self.forward.model, self.store, self.request
        rate = self._rate(name, source, listing)
        n_rows = min(len(listing.paths), request.options.limit or len(listing.paths))
        n_texts, heads = _texts(model, name, listing, request, self.known)
        self.known |= heads.keys()
        if n_texts and self.text_rate is None:
            self.text_rate = _texts_per_second(model)
        names = self.model_name, limited_name(name, n_rows, len(listing.paths))
        done = n_done(store, layout.images(*names))
        left = max(n_rows - done, 0)
        layers = {n: n_rows - n_done(store, layout.patches(*names, n)) for n in self.forward.layers}
        judged = _head_rows(store, names, heads, n_rows, request)
        again = judged[OWN][1] if model.own_head and model.own_head.native else 0
        # Patches and a native head's logits come from the same pass.
        seconds = max(left, *layers.values(), again) / rate
        seconds += n_texts / self.text_rate if n_texts and self.text_rate else 0
        return {
            "model": self.model_name,
            "dataset": name,
            "n_images": n_rows,
            "n_done": done,
            "images_per_second": rate,
            "n_texts": n_texts,
            "texts_per_second": self.text_rate if n_texts else None,
            "hours": seconds / 3600,
            "n_bytes": _n_bytes(left, n_texts, model.embedding_dim)
            + _head_bytes(heads, judged)
            + sum(row_bytes([model.patch_shapes[n]]) * layers[n] for n in layers),
        }

    def _rate(self, name: str, source: Source, listing: Listing) -> float:
        """Return pictures a second, measured on the first data set of a benchmark."""
        clean = source.inner if isinstance(source, CorruptSource) else source
        what = clean.preset.name if isinstance(clean, PresetSource) else clean.spec
        alike = type(source), what
        if alike not in self.rates:
            self.progress.notice(f"measuring {self.model_name} on {name}")
            self.rates[alike] = _images_per_second(self.forward, source, listing, self.request)
        return self.rates[alike]


def _images_per_second(
    forward: Forward, source: Source, listing: Listing, request: Request
) -> float:
    """Time batches of evenly spaced pictures, decoded while the model computes."""
    options = request.options
    kind = "cuda" if forward.device.type == "cuda" else "cpu"
    # No more pictures than there are: one batch warms up, one or more are timed.
    there = len(listing.paths)
    batch = min(options.batch_size or BATCH_ROWS[kind], max(there // 2, 1))
    n_batches = min(N_BATCHES + 1, there // batch)
    n_images = batch * n_batches
    rows = [i * there // n_images for i in range(n_images)]
    locators = list(source.locators(listing.samples()[rows]))
    batches = [locators[i : i + batch] for i in range(0, n_images, batch)]
    with DecodePool(
        source.reader(),
        forward.model.transform,
        n_workers=options.workers or n_workers(kind),
        n_slots=2,
        batch_rows=batch,
    ) as pool:
        began = time.perf_counter()
        futures = [pool.submit(0, batches[0])]
        for i in range(n_batches):
            futures[i].result()
            if i + 1 < n_batches:
                futures.append(pool.submit((i + 1) % 2, batches[i + 1]))
            if i == 1:
                began = time.perf_counter()  # the first batch warmed up
            forward(pool.slots[i % 2]).arrays()
        return batch * max(n_batches - 1, 1) / (time.perf_counter() - began)


def _texts(
    model: Model, name: str, listing: Listing, request: Request, known: Container[str]
) -> tuple[int, dict[str, int]]:
    """Return the count of texts left to encode, and each head's count of classes by its name."""
    own = {OWN: len(model.own_head.class_ids)} if model.own_head else {}
    classes = request.classes or listing.classes
    if not model.has_text or classes is None:
        return 0, own
    if request.classes is None and classes.name == imagenet().name:
        classes = imagenet()
    n_classes = len(classes.ids)
    heads = {f"{p.name}--{classes.name or name}": p for p in request.prompts}
    new = [p for head, p in heads.items() if head not in known]
    n_texts = sum(len(texts) for p in new for texts in p.texts_for(classes))
    return n_texts, own | dict.fromkeys(heads, n_classes)


def _texts_per_second(model: Model) -> float:
    from embedstore.models.texts import embed_all_texts

    texts = [f"a photo of a {name}." for name in imagenet().names[:N_TEXTS]]
    embed_all_texts(model, texts[:4], 4)
    began = time.perf_counter()
    embed_all_texts(model, texts, N_TEXTS)
    return N_TEXTS / (time.perf_counter() - began)


def _head_rows(
    store: Store | None,
    names: tuple[str, str],
    heads: Iterable[str],
    n_rows: int,
    request: Request,
) -> dict[str, tuple[int, int]]:
    """Return how many outcomes and how many logits of each head are left to make."""
    left = {}
    for head in heads:
        logits = n_rows - n_done(store, layout.logits(*names, head))
        outcomes = logits if request.options.keeps_logits else n_rows
        folder = f"models/{names[0]}/outcomes/{names[1]}/{head}"
        if store and committed(store.files, folder):
            outcomes = 0
        left[head] = outcomes, logits if request.options.keeps_logits else 0
    return left


def _head_bytes(heads: Mapping[str, int], left: Mapping[str, tuple[int, int]]) -> int:
    logit, maximum = np.dtype(LOGITS.dtype).itemsize, np.dtype(MAXIMUM.dtype).itemsize
    return sum(
        left[head][0] * OUTCOME_BYTES + left[head][1] * (n_classes * logit + maximum)
        for head, n_classes in heads.items()
    )


def _n_bytes(n_rows: int, n_texts: int, dim: int) -> int:
    texts = n_texts * dim * np.dtype(TEXT_EMBEDDINGS.dtype).itemsize
    return n_rows * dim * np.dtype(EMBEDDINGS.dtype).itemsize + texts
