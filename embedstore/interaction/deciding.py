"""What a language model decides: of each answer, and of each sample over the orders of its options.

The score of an option decides, or the answer as it was parsed. Ties go to the lower class.

Dimensions: R answers, N samples that were asked about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from embedstore.errors import DatasetError
from embedstore.interaction.positions import leanings

#: What decides: the log-likelihood of an option's tokens, over their count or not, or the text.
Score = Literal["per-token", "sum", "text"]
SCORES = {"per-token": "scores_per_token", "sum": "scores"}
#: Columns of which an answer has at least one.
_SAID = ("prediction", "answer", "text", *SCORES.values())


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions of a language model on one data set."""

    score: Score  # that decided
    answers: pl.DataFrame  # R rows: `sample_index`, `order`, `decision`, `place` from 0, `unparsed`
    samples: pl.DataFrame  # N rows: `sample_index`, `decision`, `options` ascending
    leanings: pl.DataFrame  # of samples whose orders disagree: `sample_index`, `lean`
    note: str | None  # why another score decided than was asked for


def decisions(answers: pl.DataFrame, score: Score, where: str) -> Decisions:
    """Return what answers decide.

    A sample's decision is the class of the highest mean score over its orders; of texts, the class
    that more orders name than any other, or none.

    Parameters
    ----------
    answers
        (R,) rows, columns of `schema.ANSWERS`; those that hold no answer are left out.
    score
        What decides; where there is none of it, the texts do.
    where
        What messages call the answers.

    Raises
    ------
    DatasetError
        If there is no such score, and no text either.
    """
    said = answers.filter(pl.any_horizontal(pl.col(c).is_not_null() for c in _SAID))
    said = said.with_row_index("answer_index").cast(
        {"prediction": pl.Int32, "option_classes": pl.List(pl.Int32)}
    )
    used, note = score, None
    if score != "text" and not said[SCORES[score]].count():
        used, note = "text", f"no {score} scores are stored: the parsed answers decide"
    if used == "text" and not (said["prediction"].count() or said["text"].count()):
        kept = [name for name, column in SCORES.items() if said[column].count()]
        raise DatasetError(
            f"{where} hold no {score} scores and no parsed answers; choose what they hold: --score "
            f"{kept[0] if kept else 'text'}"
        )
    options = _options(said)
    chosen, joint = _by_text(said) if used == "text" else _by_score(options, SCORES[used])
    placed = chosen.join(
        options.select("answer_index", "place", decision="class"),
        ["answer_index", "decision"],
        "left",
    )
    unparsed = pl.col("text").is_not_null() & pl.col("prediction").is_null()
    found = (
        said.select("answer_index", "sample_index", "order", unparsed=unparsed)
        .join(placed, "answer_index", "left")
        .with_columns(unparsed=pl.col("unparsed") | pl.col("decision").is_null())
    )
    offered = options.group_by("sample_index").agg(pl.col("class").unique().sort().alias("options"))
    samples = (
        said.select(pl.col("sample_index").unique().sort())
        .join(joint, "sample_index", "left", maintain_order="left")
        .join(offered, "sample_index", "left", maintain_order="left")
    )
    leanings_ = leanings(found, options)
    return Decisions(used, found.sort("sample_index", "order"), samples, leanings_, note)


def _options(said: pl.DataFrame) -> pl.DataFrame:
    """Return a row an answer and option: its class, place from 0, and scores."""
    lists = {"class": "option_classes", **{column: column for column in SCORES.values()}}
    size = pl.col("option_classes").list.len()
    filled = (
        pl.col(column).fill_null(pl.lit(None).repeat_by(size).cast(said.schema[column]))
        for column in SCORES.values()
    )
    return (
        said.filter(pl.col("option_classes").is_not_null())
        .with_columns(*filled, place=pl.int_ranges(size))
        .rename({"option_classes": "class"})
        .select("answer_index", "sample_index", "place", *lists)
        .explode("place", *lists)
        .with_columns(pl.col(*SCORES.values()).cast(pl.Float64).fill_nan(None))
    )


def _by_score(options: pl.DataFrame, score: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the best option of each answer, and of each sample over its answers."""
    whole = options.filter(pl.col(score).is_not_null().all().over("answer_index"))
    means = whole.group_by("sample_index", "class").agg(pl.col(score).mean())
    best = (
        frame.sort(score, "class", descending=[True, False])
        .unique(of, keep="first", maintain_order=True)
        .select(of, decision="class")
        for frame, of in ((whole, "answer_index"), (means, "sample_index"))
    )
    chosen, joint = best
    return chosen, joint


def _by_text(said: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the class that each answer names, and the one that most answers of a sample name."""
    offered = pl.col("option_classes").list.contains(pl.col("prediction")).fill_null(value=True)
    named = said.filter(offered)  # who names a class that was no option names none
    chosen = named.select("answer_index", "sample_index", decision="prediction").drop_nulls()
    votes = chosen.group_by("sample_index", "decision").len()
    first = votes.filter(pl.col("len") == pl.col("len").max().over("sample_index"))
    joint = first.filter(pl.len().over("sample_index") == 1)
    return chosen.drop("sample_index"), joint.select("sample_index", "decision")
