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
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import EmbedStoreError
from embedstore.retrieval.captioned import caption_runs, load_captioned
from embedstore.retrieval.measuring import DIRECTIONS, Positives, ask, summary
from embedstore.retrieval.ranking import Ties
from embedstore.retrieval.streaming import count_pairs
from embedstore.schema.retrieval import RETRIEVAL
from embedstore.store import Store

Directions = Literal["both", "image-to-text", "text-to-image"]


@analysis
def retrieval(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    texts: str = "*",
    k: str = "1,5,10",
    direction: Directions = "both",
    positives: Positives = "same-text",
    ties: Ties = "pessimistic",
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
        Glob over sets of captions, such as `captions-de--*`.
    k
        One or several, parted by commas.
    direction
        Which queries: pictures that find captions, captions that find pictures, or both.
    positives
        Whether a caption that stands at several pictures belongs to all, or to each alone.
    ties
        Whether candidates that equal the first positive come before it, or in random order.
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
        gallery.

    Examples
    --------
    $ embedstore analyze retrieval clip.store --datasets coco-karpathy --k 1,5,10
    $ embedstore analyze retrieval clip.store --texts 'captions-de--*' --direction text-to-image
    """
    ks = _cut_offs(k)
    asked = DIRECTIONS if direction == "both" else (direction,)
    convention = f"positives: {positives}; cosine, float32; mAP@R; bounds draw pictures whole"
    rows = []
    for run in caption_runs(store, models, datasets, texts):
        captioned = load_captioned(store, run)
        counts = count_pairs(captioned.pictures, captioned.captions, captioned.picture_of)
        for way in asked:
            queries = ask(captioned, counts, way, positives, ks, ties)
            facts = {**run._asdict(), "direction": way, "ties": ties, "convention": convention}
            rows += [facts | measured for measured in summary(queries, ks, seed)]
    return pl.DataFrame(rows, schema=dict(RETRIEVAL)).sort(
        "dataset", "texts", "model", "direction", "k"
    )


def _cut_offs(text: str) -> tuple[int, ...]:
    """Return the different k of a text such as 1,5,10, ascending."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) for part in parts):
        raise EmbedStoreError(f"k is {text!r}; give whole numbers from 1 on, such as 1,5,10")
    return tuple(sorted({int(part) for part in parts}))
