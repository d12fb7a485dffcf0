"""Which index answers: the one that is asked for, the best that is there, or none: exact search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from embedstore.index import library
from embedstore.index.building import build, load, place_of
from embedstore.index.exact import Metric, Neighbours, check_metric
from embedstore.index.kinds import Kind, Size, choose
from embedstore.index.opened import Index, exactly
from embedstore.index.rows import Floats
from embedstore.index.subject import Subject
from embedstore.store.manifest import read_manifest

EXACT = "exact"
#: How an analysis may search: without an index, or by one that was built.
SearchKind = Literal["exact", "flat", "hnsw", "ivf", "ivfpq"]


@dataclass(frozen=True, slots=True)
class Search:
    """What answers queries over a subject."""

    subject: Subject
    metric: Metric
    index: Index | None  # None searches the embeddings themselves

    def nearest(self, queries: Floats, k: int) -> Neighbours:
        """Find the k nearest rows of each query: (Q, D) -> (Q, K), (Q, K).

        Raises
        ------
        EmbedStoreError, NonFiniteError
            As in :func:`embedstore.index.exact.nearest`.
        """
        if self.index is None:
            return exactly(self.subject, queries, k, self.metric)
        return self.index.nearest(queries, k)

    @property
    def how(self) -> str:
        """How it searches, and how well where that was measured."""
        if self.index is None or self.index.kind == "flat":
            return EXACT
        return self.index.how


def search_over(
    subject: Subject,
    *,
    kind: str | None = None,
    metric: Metric = "ip",
    notice: Callable[[str], None] = lambda _text: None,
) -> Search:
    """Choose what answers queries over a subject.

    Parameters
    ----------
    subject
        What is searched.
    kind
        Of the index. Without one, the index that was built, of several that of the best recall, or
        exact search where there is none. `exact` asks no index; `flat` and `auto`, where it comes
        to that, do as well where none was built.
    metric
        As in :func:`embedstore.index.building.build`.
    notice
        Told where an index is built anew, since its embeddings have changed.

    Raises
    ------
    StoreError
        If there is no such index.
    MissingExtraError
        If it needs FAISS, which is not installed.
    """
    check_metric(metric)
    size = Size(subject.n_rows, subject.dim)
    if kind == EXACT:
        return Search(subject, metric, None)
    chosen = _best(subject, metric) if kind is None else choose(kind, size)
    if chosen is None:
        return Search(subject, metric, None)
    built = read_manifest(subject.store.files, place_of(subject, chosen, metric).folder)
    if chosen == "flat" and (built is None or not library.installed()):
        return Search(subject, metric, None)
    if built is not None and built.facts["embeddings"] != subject.digest:
        notice(f"the embeddings of {subject.name} have changed: building its {chosen} index anew")
        return Search(subject, metric, build(subject, kind=chosen, metric=metric)[0])
    return Search(subject, metric, load(subject, chosen, metric))


def _best(subject: Subject, metric: Metric) -> Kind | None:
    """Return the kind of the index of the best recall, of several the quickest."""
    if not library.installed():
        return None
    recalls: dict[Kind, float] = {}
    for kind in ("hnsw", "ivf", "ivfpq", "flat"):
        built = read_manifest(subject.store.files, place_of(subject, kind, metric).folder)
        if built is not None:
            recalls[kind] = built.facts["recall_at_10"] or 0.0
    return max(recalls, key=recalls.__getitem__, default=None)
