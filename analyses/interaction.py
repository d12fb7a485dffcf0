"""A language model beside the image encoder that it sees through, on the very same samples.

Conventions. Every answer is decided by the score of its options (`per-token`: log-likelihood over
the count of an option's tokens; `sum`: without that) or, where it has none, by the text as parsed;
by default by the text too where it was decoded greedily, as outcomes are.
`model_accuracy` is the mean over orders. One decision over both orders stands beside the encoder's
in the two-by-two table, McNemar's exact test and `difference`, whose bounds are Newcombe's method
10 for paired proportions (1998): the class of the highest mean score, ties to the lower class; of
texts the class that most orders name, and where orders name different ones as often the one that a
hash of the sample's id draws, so that a guess is as good as in one order. The encoder chooses among
the same options, by its logits cut to these; where answers hold no options, among all classes. A
text that names no option, or several, is wrong where texts decide, and counted apart.

What orders differ in is counted over samples that were answered in all of them. Position bias is
tested over those whose two orders are answered with different classes: whether the two answers
stand nearer to the front than if they were exchanged (of two options: whether the first-put one is
taken both times), a binomial test at one half. A quarter of the classes, rounded up, is hard and as
many are easy, by the encoder's accuracy among all classes on the other half of the samples, halves
parted by a hash of ids (seed 0), so that noise does not regress to the mean; classes of equal
accuracy stand in the order of a hash of their ids. Shape bias is as in the analysis `shape-bias`,
over samples whose shape and texture are options.

Dimensions: M samples that both judged.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Literal, get_args

import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import DamagedError, EmbedStoreError, UnknownNameError
from embedstore.interaction.deciding import Choice
from embedstore.interaction.encoders import Asked, all_asked, encoder_runs, pixels_of
from embedstore.interaction.hardness import QUANTILE, SIDES, on_classes
from embedstore.interaction.judging import Answered, answered, judged
from embedstore.interaction.measuring import measured
from embedstore.schema.interaction import INTERACTION
from embedstore.stats.multiple import benjamini_hochberg
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord
from embedstore.store.outcomes import OutcomeRun

By = Literal["all", "class", "hardness"]
#: Of the test by which position bias is flagged.
LEVEL = 0.05
_FEWER = (
    "{} samples were answered in fewer orders than others: they do not count where orders are "
    "compared"
)
CONVENTION = (
    "decision: highest mean score over orders, ties to the lower class; of texts the class that "
    "most orders name, ties drawn by a hash of the sample's id; encoder: among the same options; "
    "difference: decided less encoder accuracy, Newcombe's method 10; mcnemar: exact, of the "
    "decisions; orders: compared over samples answered in all; position: exact binomial over those "
    f"whose two orders disagree, flagged at q < {LEVEL}; q: Benjamini-Hochberg over all rows; "
    f"hardness: {QUANTILE:.0%} of the classes (rounded up) by the encoder's many-way accuracy on "
    "the other half (hash of ids, seed 0), ties by a hash of class ids"
)


@analysis
def interaction(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    encoder: str | None = None,
    protocol: str | None = None,
    by: By = "all",
    score: Choice = "auto",
    where: str | None = None,
) -> pl.DataFrame:
    """Language models beside their image encoders on the same samples and options, with bounds.

    Parameters
    ----------
    store
        Where answers and outcomes are.
    models, datasets
        Globs over names of language models and data sets.
    encoder
        MODEL or MODEL@HEAD; without it the model of the store that the zoo says a language model
        sees through, given the language model's own pixels if there is one (`?transform=llava:ID`).
    protocol
        How it was asked, such as `letters-16`; all, a row each, where it is None.
    by
        A row over all samples, one a `class`, or by `hardness`: the quarter of the classes hardest
        and the one easiest for the encoder.
    score
        What decides of an answer; the parsed text also where no such scores are stored. ``auto``:
        the text of protocols that end in ``-greedy``, per-token scores of others.
    where
        SQL condition on the columns of the samples, such as ``shape <> texture``.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.interaction.INTERACTION`, one row a model, head of its encoder, data set,
        protocol and level. Where others can be compared, one that cannot has a row that says why.

    Raises
    ------
    EmbedStoreError
        If no model has answers, or none can be compared: the encoder is not there or has no
        outcomes, options are not what they are said to be, no answer is about a labelled sample.

    Examples
    --------
    embedstore analyze interaction clip.store
    embedstore analyze interaction clip.store --by hardness --encoder clip@openai-80--imagenet
    embedstore analyze interaction clip.store --datasets cue-conflict --where 'shape <> texture'
    """
    for name, given, choices in (("by", by, By), ("score", score, Choice)):
        if given not in get_args(choices):
            raise UnknownNameError(name, given, get_args(choices))
    tables, refused = [], []
    for asked in all_asked(store, models, datasets, protocol):
        try:
            tables += _compared(store, asked, encoder, by, score, where)
        except DamagedError:
            raise
        except EmbedStoreError as error:
            refused.append((asked, error))
    if not tables:
        raise refused[0][1]
    lacking = [
        {"model": a.model, "dataset": a.dataset, "protocol": a.protocol, "note": str(error)}
        for a, error in refused
    ]
    frame = pl.concat([*tables, pl.DataFrame(lacking)], how="diagonal_relaxed")
    stated = {"by": by, "where": where, "convention": CONVENTION}
    return (
        frame.with_columns(pl.lit(text, pl.String).alias(name) for name, text in stated.items())
        .with_columns(
            _q_values(frame[f"{of}_p"]).alias(f"{of}_q") for of in ("mcnemar", "position")
        )
        .with_columns(position_biased=pl.col("position_q") < LEVEL)
        .select(pl.col(name).cast(dtype) for name, dtype in INTERACTION.items())
        .sort("dataset", "protocol", "model", "encoder", "head", maintain_order=True)
    )


def _compared(
    store: Store, asked: Asked, encoder: str | None, by: By, score: Choice, where: str | None
) -> list[pl.DataFrame]:
    """Return a table a head of the encoder."""
    said = answered(store, asked, score, where)
    return [_table(store, said, run, by) for run in encoder_runs(store, asked, encoder)]


def _table(store: Store, said: Answered, run: OutcomeRun, by: By) -> pl.DataFrame:
    """Return a row a level."""
    asked, both = said.asked, judged(store, said, run)
    names: dict[str, Any] = {
        "model": asked.model,
        "encoder": run.model,
        "head": run.head,
        "dataset": run.dataset,
        "protocol": asked.protocol,
        "encoder_protocol": both.encoder_protocol,
        "score": said.decisions.score,
        "n_left_out": both.n_left_out,
        "pixels": pixels_of(store.model(run.model).spec),
    }
    fewer = pl.col("n_fewer_orders")
    notes = (
        pl.lit(both.note, pl.String),
        pl.col("note"),
        pl.when(fewer > 0).then(pl.format(_FEWER, fewer)),
    )
    return measured(_in_levels(both.samples, store.dataset(run.dataset), by)).with_columns(
        *(pl.lit(value).alias(name) for name, value in names.items()),
        note=pl.concat_str(notes, separator="; ", ignore_nulls=True).replace("", None),
    )


def _in_levels(samples: pl.DataFrame, record: DatasetRecord, by: By) -> pl.DataFrame:
    """Add `level` and a `note` of it; by hardness only samples of hard and of easy classes stay."""
    if by == "class":
        names = pl.Series(_class_names(record), dtype=pl.String).gather(samples["label"])
        samples = samples.with_columns(level=names).sort("label")
    elif by == "hardness":
        parts = [on_classes(samples, "correct", side, record) for side in SIDES]
        return pl.concat(
            part.samples.with_columns(level=pl.lit(side), note=pl.lit(part.note, pl.String))
            for part, side in zip(parts, SIDES, strict=True)
        )
    else:
        samples = samples.with_columns(level=pl.lit(None, pl.String))
    return samples.with_columns(note=pl.lit(None, pl.String))


def _class_names(record: DatasetRecord) -> list[str]:
    """Return the names of classes, with the id where another class has the name."""
    named = list(zip(record.class_names, record.class_ids, strict=True))
    counts = Counter(record.class_names)
    return [name if counts[name] == 1 else f"{name} ({class_id})" for name, class_id in named]


def _q_values(p_values: pl.Series) -> pl.Series:
    """Correct for the number of tests: (L,) -> (L,); null where none was made."""
    p = p_values.cast(pl.Float64).fill_null(math.nan).to_numpy()
    return pl.Series(benjamini_hochberg(p)).fill_nan(None)
