"""A language model and its encoder judged on the same samples: a row a sample.

Dimensions: R answers, N samples of the data set, M that both judged, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from embedstore.errors import DatasetError
from embedstore.heads.protocols import protocol_of
from embedstore.interaction.choosing import choices
from embedstore.interaction.deciding import Choice, Decisions, decisions, score_of
from embedstore.interaction.encoders import Asked
from embedstore.interaction.options import check_options
from embedstore.pairing import selected
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord
from embedstore.store.outcomes import OutcomeRun, checked_table

#: Cues of a picture, where its annotations say them.
CUES = ("shape", "texture")
_UNKNOWN = (
    "what the encoder chooses among the options is not known from its outcomes alone: encode it, "
    "or import its logits"
)

_ONE_ORDER = "asked in one order, which cannot tell a bias of position from one of classes"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a language model answered about a data set, to be put beside any head."""

    asked: Asked
    samples: pl.DataFrame  # (N,) rows of the data set
    chosen: pl.Series  # (N,) which of them are to be compared
    decisions: Decisions


@dataclass(frozen=True, slots=True)
class Judged:
    """Both on the same samples."""

    samples: pl.DataFrame  # (M,) rows
    n_left_out: int
    encoder_protocol: str | None  # None where it is not known
    note: str | None  # what makes the two less comparable, or why numbers are lacking


def answered(store: Store, asked: Asked, score: Choice, where: str | None) -> Answered:
    """Read the answers of a language model, and check them.

    Parameters
    ----------
    store, asked
        Whose answers.
    score
        What decides.
    where
        SQL condition on the columns of the samples; None: all.

    Raises
    ------
    DatasetError
        If options are not what they are said to be, or none of the answers is about a sample that
        is chosen and has a label.
    """
    samples, record = store.samples(asked.dataset), store.dataset(asked.dataset)
    table = store.answers(asked.model, asked.dataset, asked.protocol)
    called = f"answers of {asked.model!r} on {asked.dataset!r} by protocol {asked.protocol!r}"
    check_options(table, record, samples["sample_id"], called)
    _check_known(table, record, called)
    score = score_of(score, asked.protocol)
    found = decisions(table, score, called, samples["sample_id"])
    chosen = pl.Series(np.ones(samples.height, np.bool_))
    if where is not None:
        chosen = selected(samples, asked.dataset, where)
    labelled = (chosen & samples["label"].is_not_null()).gather(found.samples["sample_index"])
    if not labelled.any():
        raise DatasetError(
            f"none of the {called} is about a sample that has a label; bring labels in with the "
            "samples of the data set, or choose others with --where"
        )
    return Answered(asked, samples, chosen, found)


def judged(store: Store, said: Answered, run: OutcomeRun) -> Judged:
    """Put an encoder's decisions beside a language model's.

    Left out are samples without a label or whose label is not among the options, that were not
    asked about, and that the encoder failed on.

    Parameters
    ----------
    store, said
        The answers.
    run
        The encoder's outcomes.

    Returns
    -------
    Judged
        A row a sample that both judged, with `sample_id` and `label`; `decision` and `choice`, the
        classes that the two take among the options, null for none; `tied`, whether the first is one
        of equals; `choice_known`; `correct`, whether the encoder is right among all classes;
        `n_options`; what :func:`_over_orders` tells; `shape` and `texture` where they differ and
        both are options.

    Raises
    ------
    DatasetError
        If there is no such sample.
    """
    record = store.dataset(run.dataset)
    columns = ["prediction", "correct"]
    outcomes = pl.read_parquet(checked_table(store.files, run), columns=columns)
    beside = pl.DataFrame(
        {
            "sample_id": said.samples["sample_id"],
            "label": said.samples["label"],
            "prediction": _own_classes(store, run, record).gather(outcomes["prediction"]),
            "correct": outcomes["correct"],
            **{cue: _cue(said.samples, cue, record) for cue in CUES},
        }
    ).with_row_index("sample_index")
    offered = pl.col("options").is_null() | pl.col("options").list.contains(pl.col("label"))
    frame = (
        beside.filter(said.chosen)
        .cast({"sample_index": pl.Int64})
        .join(said.decisions.samples, "sample_index", maintain_order="left")
        .drop_nulls(["label", "correct"])
        .filter(offered)
    )
    choice, unknown = _chosen(store, run, frame)
    frame = (
        frame.with_columns(
            choice=choice,
            choice_known=pl.lit(unknown is None),
            n_options=pl.col("options").list.len().fill_null(len(record.class_ids)),
            **_conflict(),
        )
        .join(_over_orders(said.decisions, frame), "sample_index", maintain_order="left")
        .drop("options")
    )
    if frame.is_empty():
        raise DatasetError(
            f"{said.asked.model!r} and {run.model!r} judged no sample of {run.dataset!r} in "
            "common; encode it for both, or choose others with --where"
        )
    protocol = protocol_of(store, run)
    notes = [unknown, said.decisions.note]
    if protocol not in (None, said.asked.protocol):
        notes.insert(0, f"protocols differ: {said.asked.protocol} and {protocol}")
    if frame["n_orders"].max() == 1:
        notes.append(_ONE_ORDER)
    note = "; ".join(note for note in notes if note) or None
    return Judged(frame, int(said.chosen.sum()) - frame.height, protocol, note)


def _check_known(table: pl.DataFrame, record: DatasetRecord, called: str) -> None:
    """Refuse options of which nothing says which classes they are, unless they are all."""
    n_classes = len(record.class_ids)
    size = pl.col("options").list.len()
    unknown = table.filter(pl.col("option_classes").is_null(), size != n_classes)
    if unknown.height:
        raise DatasetError(
            f"options such as {unknown['options'][0][0]!r} in {called} name no classes of "
            f"{record.name!r}; bring the answers in anew with a column option_classes"
        )


def _own_classes(store: Store, run: OutcomeRun, record: DatasetRecord) -> pl.Series:
    """Return the data set's class of each class that a run's predictions count: (C,)."""
    places = {class_id: i for i, class_id in enumerate(record.class_ids)}
    return pl.Series([places[i] for i in store.space(run)["class_ids"]], dtype=pl.Int32)


def _cue(samples: pl.DataFrame, cue: str, record: DatasetRecord) -> pl.Series:
    """Return the class of a cue: (N,); null where it is not known."""
    if samples.schema.get(cue) != pl.String:
        return pl.repeat(None, samples.height, dtype=pl.Int32, eager=True)
    places = {class_id: i for i, class_id in enumerate(record.class_ids)}
    return samples[cue].replace_strict(places, default=None, return_dtype=pl.Int32)


def _conflict() -> dict[str, pl.Expr]:
    """Keep cues that differ and are both options."""
    there = pl.col("options").is_null() | (
        pl.col("options").list.contains(pl.col("shape"))
        & pl.col("options").list.contains(pl.col("texture"))
    )
    differ = (pl.col("shape") != pl.col("texture")) & there
    return {cue: pl.when(differ).then(pl.col(cue)) for cue in CUES}


def _chosen(store: Store, run: OutcomeRun, frame: pl.DataFrame) -> tuple[pl.Series, str | None]:
    """Return the class that the encoder takes among the options: (M,); and why it is null."""
    n_classes = len(store.dataset(run.dataset).class_ids)
    some = (frame["options"].list.len() < n_classes).fill_null(value=False)
    choice = frame["prediction"]
    if not some.any():
        return choice, None
    rows = frame["sample_index"].filter(some).to_numpy()
    found = choices(store, run, rows, frame["options"].filter(some))
    if found is None:
        return pl.repeat(None, frame.height, dtype=pl.Int32, eager=True), _UNKNOWN
    return choice.scatter(some.arg_true(), pl.Series(found, dtype=pl.Int32)), None


def _over_orders(said: Decisions, frame: pl.DataFrame) -> pl.DataFrame:
    """Return what the answers about each sample come to over their orders: (M,) rows."""
    decision, place = pl.col("decision"), pl.col("place")
    right = (decision == pl.col("label")).fill_null(value=False)
    return (
        said.answers.join(frame.select("sample_index", "label"), "sample_index")
        .group_by("sample_index")
        .agg(
            n_answers=pl.len().cast(pl.Int64),
            right_share=right.mean(),
            right_in_all=right.all(),
            consistent=(decision.n_unique() == 1) & (decision.null_count() == 0),
            n_unparsed=pl.col("unparsed").sum().cast(pl.Int64),
            n_first=(place == 0).sum().cast(pl.Int64),
            n_placed=place.count().cast(pl.Int64),
        )
        .with_columns(n_orders=pl.col("n_answers").max())
        .with_columns(in_all_orders=pl.col("n_answers") == pl.col("n_orders"))
        .join(said.leanings, "sample_index", "left")
    )
