"""What asking a language model would take: a few batches measured, nothing written.

Dimensions: N samples, b pictures of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from embedstore.datasets.pictures import decode
from embedstore.datasets.sources import Listing, Source
from embedstore.encode.answers.answerer import BATCH_ROWS
from embedstore.encode.answers.questions import Asker, Questions
from embedstore.encode.device import resolve_device, resolve_precision
from embedstore.encode.patches import chosen_layers, row_bytes
from embedstore.encode.progress import Progress
from embedstore.encode.request import Request, limited_name, n_workers
from embedstore.errors import DatasetError, PictureError
from embedstore.store import Store, layout
from embedstore.store.answers import answers_manifest
from embedstore.store.runs import BlockRun

if TYPE_CHECKING:
    from embedstore.models.answering import AnsweringModel

#: Batches that are timed, after one that is not.
N_BATCHES = 2
#: Bytes of one answer and of an outcome in their tables, about.
ANSWER_BYTES, OUTCOME_BYTES = 64, 8


def estimate_answers(
    store: Store | None,
    name: str,
    spec: str,
    request: Request,
    listings: list[tuple[str, Source, Listing]],
    progress: Progress,
) -> Iterator[dict[str, object]]:
    """Yield a row a data set, columns of `estimate.ESTIMATE`: what one language model would take.

    Options are any classes here: which ones changes their cost by little.
    """
    import torch

    from embedstore.models import load_answering

    questions = request.questions
    assert questions is not None, "a request for a language model has questions"
    device = resolve_device(request.options.device)
    progress.notice(f"loading {spec}")
    model = load_answering(spec)
    precision = resolve_precision(request.options.precision, device.type)
    model.to(device, getattr(torch, precision))
    layers = chosen_layers(model, request.options.patches)
    for dataset, source, listing in listings:
        progress.notice(f"measuring {name} on {dataset}")
        names = () if listing.classes is None else listing.classes.names
        asker = Asker(questions.protocol, names, dataset)
        rate = _images_per_second(model, source, listing, asker, request, layers)
        n_rows = min(len(listing.paths), request.options.limit or len(listing.paths))
        of = name, limited_name(dataset, n_rows, len(listing.paths))
        done = _n_answered(store, of, questions)
        left = {n: n_rows - n_done(store, layout.patches(*of, n)) for n in layers}
        per_row = questions.protocol.n_orders * ANSWER_BYTES + OUTCOME_BYTES
        patch_bytes = sum(row_bytes([model.patch_shapes[n]]) * left[n] for n in layers)
        yield {
            "model": name,
            "dataset": dataset,
            "n_images": n_rows,
            "n_done": done,
            "images_per_second": rate,
            "n_texts": 0,
            "texts_per_second": None,
            "hours": max(n_rows - done, *left.values(), 0) / rate / 3600,
            "n_bytes": (n_rows - done) * per_row + patch_bytes,
        }


def _images_per_second(
    model: AnsweringModel,
    source: Source,
    listing: Listing,
    asker: Asker,
    request: Request,
    layers: list[int],
) -> float:
    """Time batches of evenly spaced pictures, prepared while the model answers."""
    assert request.questions is not None
    kind = "cuda" if resolve_device(request.options.device).type == "cuda" else "cpu"
    size = request.options.batch_size or BATCH_ROWS[kind]
    n_images = size * (N_BATCHES + 1)
    rows = [i * len(listing.paths) // n_images for i in range(n_images)]
    locators = list(source.locators(listing.samples()[rows]))
    reader = source.reader()
    asked = [[one.question for one in asker.ask("", 0, asker.other(0))]] * size

    def prepared(locator: str) -> Any:
        try:
            return model.prepare(decode(reader(locator)))
        except PictureError:
            return None

    began, n_timed = 0.0, 0
    with ThreadPoolExecutor(request.options.workers or n_workers(kind)) as pool:
        futures = [pool.submit(prepared, locator) for locator in locators]
        for i in range(0, n_images, size):
            if i == size:
                began = time.perf_counter()  # the first batch warmed up
            pictures = [p for f in futures[i : i + size] if (p := f.result()) is not None]
            n_timed += len(pictures) if i else 0
            if pictures:
                tokens = request.questions.max_tokens
                model.answer(pictures, asked[: len(pictures)], layers=layers, max_tokens=tokens)
    if not n_timed:
        raise DatasetError(f"none of {n_images} pictures of {source.spec} can be used; check them")
    return n_timed / (time.perf_counter() - began)


def _n_answered(store: Store | None, names: tuple[str, str], questions: Questions) -> int:
    if store is None:
        return 0
    manifest = answers_manifest(store.files, *names, questions.name)
    if manifest is not None:
        return int(manifest.facts["n_rows"]) // questions.protocol.n_orders
    return n_done(store, layout.answers(*names, questions.name))


def n_done(store: Store | None, folder: str) -> int:
    """Return the rows of finished blocks of the run in a folder; 0 where none is planned."""
    run = BlockRun.planned(store.files, folder) if store else None
    return 0 if run is None else run.plan.n_rows - run.plan.count(run.missing())
