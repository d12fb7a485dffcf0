"""Retrieval between pictures and their captions: recall at k, ranks and precision, both ways.

Conventions (Karpathy & Fei-Fei, 2015): cosines of float32 embeddings. Text to image, a caption asks
among all pictures that could be read; image to text, a picture asks among all captions of the set,
and one of its own among the first k is enough. Recall is a mean over queries. Pictures that could
not be read are left out with their captions, and so are empty captions; pictures without a caption
ask nothing, but can be found. A caption that stands at several pictures belongs to all of them
(`same-text`) or to each alone (`own`). Of candidates that equal the first positive, the others come
first (`pessimistic`), or all orders are as likely (`expected`): then recall, 1 / rank and precision
are expectations, the median that of expected ranks. `map` is mAP@R (Musgrave et al., 2020). Bounds
are 95 %, pictures drawn whole: percentile bootstrap of 2,000 resamples, or Clopper-Pearson for
recalls where each picture asks once and ties are pessimistic.

Through an index only the largest k neighbours of a query are known, in the order that FAISS returns
them, equals too: `ties` is then `index`, `mrr` and `map` are null, and so is `median_rank` unless
more than half of the queries find theirs. The recall@10 of an index, beside its kind in
`convention`, was measured between its own rows: queries of the other kind may fare worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import EmbedStoreError
from embedstore.retrieval.captioned import Counted, caption_runs, count_captioned
from embedstore.retrieval.indexed import IndexKind, ask_index, gallery_index
from embedstore.retrieval.measuring import (
    DIRECTIONS,
    Direction,
    Positives,
    Queries,
    ask,
    check_cut_offs,
    summary,
)
from embedstore.retrieval.ranking import Ties
from embedstore.retrieval.streaming import count_pairs
from embedstore.schema.retrieval import RETRIEVAL
from embedstore.store import Store

Directions = Literal["both", "image-to-text", "text-to-image"]
Convention = Literal["clip-benchmark"]
Search = Literal["exact", IndexKind]
Answers = Iterator[tuple[dict[str, Any], Queries]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is right, and which of equals comes first."""

    positives: Positives
    ties: Ties


OURS = Rules("same-text", "pessimistic")
#: What a project chose. CLIP_benchmark's `topk` breaks ties as it likes: any order is as likely.
CHOICES = {"clip-benchmark": Rules("own", "expected")}


@analysis
def retrieval(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    texts: str = "*",
    k: str = "1,5,10",
    direction: Directions = "both",
    convention: Convention | None = None,
    positives: Positives | None = None,
    ties: Ties | None = None,
    search: Search = "exact",
    seed: int = 0,
) -> pl.DataFrame:
    """Recall at k, median rank, MRR and mAP@R of captions and pictures, with 95 % bounds.

    Parameters
    ----------
    store
        Where the embeddings are, of pictures and of their captions.
    models, datasets
        Globs over names.
    texts
        Glob over sets of captions, with or without `--DATASET`, such as `captions-de`.
    k
        One or several, parted by commas.
    direction
        Which queries: pictures that find captions, captions that find pictures, or both.
    convention
        A project whose choices are taken where `positives` and `ties` are not given:
        `clip-benchmark` takes `own` and `expected`.
    positives
        Whether a caption that stands at several pictures belongs to all (`same-text`, the default),
        or to each alone (`own`).
    ties
        Whether candidates that equal the first positive come before it (`pessimistic`, the
        default), or in random order (`expected`).
    search
        `exact`, or the kind of an index over what is searched that was built with: embedstore index
        build, `--data` for text to image, `--texts` for image to text; ``auto``: by size, as there.
    seed
        Of the resamples behind the bounds.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.retrieval.RETRIEVAL`, one row a model, data set, set of captions,
        direction and k. `n_left_out` counts pictures that could not be read or have no caption, or
        captions that are empty or of such pictures.

    Raises
    ------
    EmbedStoreError
        If no data set has captions, a model has not encoded them, or a k is larger than the
        gallery; if an index was not built, or embeddings have changed since, or `ties` are asked of
        it.

    Examples
    --------
    $ embedstore analyze retrieval clip.store --datasets coco-karpathy --k 1,5,10
    $ embedstore analyze retrieval clip.store --texts captions-de --direction text-to-image
    $ embedstore analyze retrieval clip.store --search hnsw --direction text-to-image
    """
    ks = _cut_offs(k)
    ways = DIRECTIONS if direction == "both" else (direction,)
    if search != "exact" and ties is not None:
        raise EmbedStoreError(
            f"ties are as the index returns them; leave out --ties {ties}, or take --search exact"
        )
    chosen = OURS if convention is None else CHOICES[convention]
    rules = Rules(positives or chosen.positives, ties or chosen.ties)
    runs = caption_runs(store, models, datasets, texts)
    rows = []
    for run in runs:
        counted = count_captioned(store, run)
        for way in ways:
            check_cut_offs(ks, counted, way, (r.dataset for r in runs))
        if search == "exact":
            answers = _exactly(counted, ways, rules, ks)
        else:
            answers = _through_index(store, counted, ways, rules.positives, ks, search)
        for said, queries in answers:
            rows += [run._asdict() | said | measured for measured in summary(queries, ks, seed)]
    frame = pl.DataFrame(rows, schema=dict(RETRIEVAL))
    return frame.with_columns(pl.selectors.float().fill_nan(None)).sort(
        "dataset", "texts", "model", "direction", "k"
    )


def _exactly(
    counted: Counted, ways: Sequence[Direction], rules: Rules, ks: tuple[int, ...]
) -> Answers:
    """Yield what is said of each direction, and what its queries find among all candidates."""
    counts = count_pairs(counted.pictures(), counted.captions(), counted.picture_of)
    convention = f"positives: {rules.positives}; cosine, float32; mAP@R; bounds draw pictures whole"
    for way in ways:
        said = {"direction": way, "ties": rules.ties, "convention": convention}
        yield said, ask(counted, counts, way, rules.positives, ks, rules.ties)


def _through_index(
    store: Store,
    counted: Counted,
    ways: Sequence[Direction],
    positives: Positives,
    ks: tuple[int, ...],
    kind: IndexKind,
) -> Answers:
    """Yield as :func:`_exactly` does, of the largest k neighbours that an index finds."""
    indexes = [gallery_index(store, counted.run, way, kind) for way in ways]
    for way, index in zip(ways, indexes, strict=True):
        convention = (
            f"positives: {positives}; cosine; index: {index.how}; ranks to {max(ks)} known; bounds "
            "draw pictures whole"
        )
        said = {"direction": way, "ties": "index", "convention": convention}
        yield said, ask_index(counted, index, way, positives, ks)


def _cut_offs(text: str) -> tuple[int, ...]:
    """Return the different k of a text such as 1,5,10, ascending."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) for part in parts):
        raise EmbedStoreError(f"k is {text!r}; give whole numbers from 1 on, such as 1,5,10")
    return tuple(sorted({int(part) for part in parts}))
