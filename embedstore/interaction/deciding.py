"""What a language model decides: of each answer, and of each sample over the orders of its options.

The scores of an answer's options decide, ties to the lower class, or the class that it was parsed
as. Where answers about a sample name several classes as often, a hash of its id draws one: the
order in which options were put has no say in it, and a guess is as good as in one order.

Dimensions: R answers, N samples that were asked about, T of them whose answers tie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from embedstore.errors import DatasetError
from embedstore.heads.splits import hashed
from embedstore.interaction.positions import leanings

#: What decides: the log-likelihood of an option's tokens, over their count or not, or the text.
Score = Literal["per-token", "sum", "text"]
#: What a user asks for: `auto` is as the answers were given, by :func:`score_of`.
Choice = Literal["auto", "per-token", "sum", "text"]
#: Ending of the names of protocols whose texts were decoded greedily.
GREEDY = "-greedy"
SCORES: dict[Score, str] = {"per-token": "scores_per_token", "sum": "scores"}
#: Of the draw among classes that answers name as often.
SEED = 0
#: Columns of which an answer has at least one.
_SAID = ("prediction", "answer", "text", *SCORES.values())


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions of a language model on one data set."""

    score: Score  # that decided
    answers: pl.DataFrame  # R rows: `sample_index`, `order`, `decision`, `place` from 0, `unparsed`
    samples: pl.DataFrame  # N rows: `sample_index`, `decision`, `tied`, `options` ascending
    leanings: pl.DataFrame  # of samples with a place in two orders: `sample_index`, `lean`
    note: str | None  # where another score could have decided, or had to


def score_of(choice: Choice, protocol: str) -> Score:
    """Return what decides; of `auto`: text where a protocol decodes it, else per-token scores."""
    if choice != "auto":
        return choice
    return "text" if protocol.endswith(GREEDY) else "per-token"


def decisions(answers: pl.DataFrame, score: Score, where: str, ids: pl.Series) -> Decisions:
    """Return what answers decide.

    A sample's decision is the class of the highest mean score over its orders, of equals the lower.
    Where texts decide, or one of its answers has no scores, it is the class that most of its
    answers decide for, of equals the one that a hash of the sample's id draws.

    Parameters
    ----------
    answers
        (R,) rows, columns of `schema.ANSWERS`; those that hold no answer are left out.
    score
        What decides; of answers that have none of it, the class that they were parsed as.
    where
        What messages call the answers.
    ids
        Of all samples of the data set, by which ties are drawn.

    Raises
    ------
    DatasetError
        If there is no such score, and no text either.
    """
    said = answers.filter(pl.any_horizontal(pl.col(c).is_not_null() for c in _SAID))
    said = said.with_row_index("answer_index").cast(
        {"prediction": pl.Int32, "option_classes": pl.List(pl.Int32)}
    )
    options = _options(said)
    scored = _scored(options, score)
    used: Score = score if scored.height else "text"
    if used == "text":
        _check_parsed(said, options, where, score)
    apart = said.join(scored, "answer_index", "anti")  # what they were parsed as decides
    each = pl.concat([_best(scored, "answer_index").drop("tied"), _parsed(apart)])
    chosen = said.select("answer_index", "sample_index").join(each, "answer_index")
    joint = pl.concat(
        [
            _by_means(scored.join(apart, "sample_index", "anti")),
            _by_votes(chosen.join(apart, "sample_index", "semi"), ids),
        ]
    )
    found = _in_place(said, each, options)
    offered = options.group_by("sample_index").agg(pl.col("class").unique().sort().alias("options"))
    samples = (
        said.select(pl.col("sample_index").unique().sort())
        .join(joint, "sample_index", "left", maintain_order="left")
        .join(offered, "sample_index", "left", maintain_order="left")
        .with_columns(pl.col("tied").fill_null(value=False))
    )
    leanings_ = leanings(found, options)
    note = None if score == "text" else _note(score, said, apart.height)
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


def _scored(options: pl.DataFrame, score: Score) -> pl.DataFrame:
    """Return the options of answers that score all of them, with a column `score`."""
    column = pl.lit(None, pl.Float64) if score == "text" else pl.col(SCORES[score])
    scored = options.select("answer_index", "sample_index", "class", score=column)
    return scored.filter(pl.col("score").is_not_null().all().over("answer_index"))


def _check_parsed(said: pl.DataFrame, options: pl.DataFrame, where: str, score: Score) -> None:
    """Refuse answers of which nothing that was asked for can decide."""
    if said["prediction"].count() or said["text"].count():
        return
    kept = [name for name in SCORES if _scored(options, name).height]
    remedy = (
        f"choose what they hold: --score {kept[0]}"
        if kept
        else "bring them in anew with the class that each names, in a column prediction"
    )
    lacking = "no parsed answers" if score == "text" else f"no {score} scores and no parsed answers"
    raise DatasetError(f"{where} hold {lacking}; {remedy}")


def _best(scored: pl.DataFrame, of: str) -> pl.DataFrame:
    """Return the class of the highest score, of equals the lower: rows `of`, `decision`, `tied`."""
    return (
        scored.sort("score", "class", descending=[True, False])
        .group_by(of)
        .agg(
            decision=pl.col("class").first(),
            tied=(pl.col("score") == pl.col("score").max()).sum() > 1,
        )
    )


def _parsed(said: pl.DataFrame) -> pl.DataFrame:
    """Return the class that each answer names: one that was no option is none."""
    offered = pl.col("option_classes").list.contains(pl.col("prediction")).fill_null(value=True)
    named = said.filter(offered, pl.col("prediction").is_not_null())
    return named.select("answer_index", decision="prediction")


def _by_means(scored: pl.DataFrame) -> pl.DataFrame:
    """Return the best option of each sample over its answers: rows as of :func:`_best`."""
    means = scored.group_by("sample_index", "class").agg(pl.col("score").mean())
    return _best(means, "sample_index")


def _by_votes(chosen: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    """Return the class that most answers of each sample decide for: rows as of :func:`_best`."""
    votes = chosen.group_by("sample_index", "decision").len()
    first = (
        votes.filter(pl.col("len") == pl.col("len").max().over("sample_index"))
        .group_by("sample_index")
        .agg(pl.col("decision").sort())
        .with_columns(tied=pl.col("decision").list.len() > 1)
    )
    one, several = first.filter(~pl.col("tied")), first.filter("tied")
    return pl.concat(
        [
            one.with_columns(pl.col("decision").list.first()),
            several.with_columns(pl.col("decision").list.get(pl.lit(_drawn(several, ids)))),
        ]
    )


def _drawn(several: pl.DataFrame, ids: pl.Series) -> pl.Series:
    """Draw one of the classes that a sample's answers name as often: T rows -> (T,) places."""
    rows = several["sample_index"]
    numbers = hashed(ids.gather(rows).to_list(), SEED, "tied answers")
    return pl.Series((numbers * several["decision"].list.len().to_numpy()).astype(np.int64))


def _in_place(said: pl.DataFrame, each: pl.DataFrame, options: pl.DataFrame) -> pl.DataFrame:
    """Put beside each answer its decision, the place where that was put, and whether it failed."""
    places = options.select("answer_index", "place", decision="class")
    placed = each.join(places, ["answer_index", "decision"], "left")
    unparsed = pl.col("text").is_not_null() & pl.col("prediction").is_null()
    return (
        said.select("answer_index", "sample_index", "order", unparsed=unparsed)
        .join(placed, "answer_index", "left")
        .with_columns(unparsed=pl.col("unparsed") | pl.col("decision").is_null())
    )


def _note(score: Score, said: pl.DataFrame, n_apart: int) -> str | None:
    """Say where answers are decided by what they were parsed as, or are not though they could."""
    if n_apart == said.height:
        return f"no {score} scores are stored: the parsed answers decide"
    if n_apart:
        return (
            f"{n_apart:,} of {said.height:,} answers have no {score} scores: what they were parsed "
            "as decides"
        )
    if said["text"].count():
        return f"{score} scores decide, not the texts that are stored beside them"
    return None
