"""What only one of two stores holds. What hangs on something that is missing is not named again."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from embedstore.differences.findings import ONLY, Finding, place
from embedstore.differences.pair import Pair
from embedstore.store import Store
from embedstore.store.contents import committed
from embedstore.store.pointers import datasets_of


def lone_findings(pair: Pair) -> Iterator[Finding]:
    """Yield models, data sets, heads, runs and their parts that only one store holds."""
    yield from _only("model", "", pair.a.models, pair.b.models)
    yield from _only("data set", "", pair.a.datasets, pair.b.datasets)
    for model in pair.models:
        heads = pair.both(Store.heads, model)
        yield from _only("head", model, *heads)
        missing = set(heads[0]) ^ set(heads[1])
        runs = pair.both(_datasets_of, model)
        yield from _only("run", model, *([d for d in r if d in pair.datasets] for r in runs))
        for dataset in (d for d in pair.datasets if d in runs[0] and d in runs[1]):
            yield from _parts(pair, model, dataset, missing)


def _parts(pair: Pair, model: str, dataset: str, missing: Collection[str]) -> Iterator[Finding]:
    """Yield embeddings, logits and outcomes of a run, but of heads that are missing as a whole."""
    where = place(model, dataset)
    images = pair.both(_committed, f"models/{model}/images")
    yield from _only("embeddings", model, *([dataset] if dataset in i else [] for i in images))
    logits = pair.both(_committed, f"models/{model}/logits/{dataset}")
    yield from _only("logits", where, *([h for h in found if h not in missing] for found in logits))
    outcomes = (
        [
            place(run.head, run.space)
            for run in held.runs
            if (run.model, run.dataset) == (model, dataset) and run.head not in missing
        ]
        for held in (pair.a, pair.b)
    )
    yield from _only("outcomes", where, *outcomes)


def _datasets_of(store: Store, model: str) -> list[str]:
    return datasets_of(store.files, model)


def _committed(store: Store, folder: str) -> list[str]:
    return committed(store.files, folder)


def _only(what: str, where: str, a: Collection[str], b: Collection[str]) -> Iterator[Finding]:
    for kind, here, there in zip(ONLY, (a, b), (b, a), strict=True):
        for name in sorted(set(here) - set(there)):
            yield Finding(kind, place(where, name), what)
