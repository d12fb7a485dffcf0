"""Whether answers lean to where an option was put: front or back.

Where the two orders of a sample are answered with two classes a and b, a model that does not mind
the order is as likely to answer b in the first order and a in the second. So the places of the two
answers are compared with those after this exchange: nearer to the front they lean to the front,
else to the back, and of no bias each is as likely, which a binomial test at one half examines. Of
two options an answer leans to the front that takes the first-put one in both orders. It knows
decisions and places, not who made them.

Dimensions: R answers, N samples, K options of an answer.
"""

from __future__ import annotations

import polars as pl


def leanings(answers: pl.DataFrame, options: pl.DataFrame) -> pl.DataFrame:
    """Return where the answers about each sample lean, by its first two orders.

    Parameters
    ----------
    answers
        (R,) rows: `answer_index`, `sample_index`, `order`, `decision`, `place`.
    options
        (R x K) rows: `answer_index`, `class` and its `place`.

    Returns
    -------
    pl.DataFrame
        `sample_index` and `lean`: 1 to the front, -1 to the back, 0 neither, as where both answers
        are the same; only samples both of whose answers have a place.
    """
    turn = pl.col("order").rank("dense").over("sample_index")
    first, second = (answers.filter(turn == i).drop_nulls("place") for i in (1, 2))
    pairs = first.join(second, "sample_index", suffix="_second")
    offered = options.select("answer_index", "class", exchanged="place")
    of = (["answer_index", "decision_second"], ["answer_index_second", "decision"])
    both = pairs.join(offered, left_on=of[0], right_on=["answer_index", "class"]).join(
        offered, left_on=of[1], right_on=["answer_index", "class"], suffix="_second"
    )
    taken = pl.col("place") + pl.col("place_second")
    instead = pl.col("exchanged") + pl.col("exchanged_second")
    return both.select("sample_index", lean=(instead - taken).sign())
