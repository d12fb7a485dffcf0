"""What a call of the encoder did.

Dimensions: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from embedstore.encode.answers.questions import Questions
from embedstore.store import Store
from embedstore.store.answers import answer_failures, protocols


@dataclass(frozen=True, slots=True)
class Encoded:
    """A run that a call of :func:`encode` worked on."""

    model: str
    dataset: str
    n_rows: int  # N
    n_failures: int  # pictures that could not be used


@dataclass(slots=True)
class Report:
    """What a call of :func:`encode` did."""

    encoded: list[Encoded] = field(default_factory=list)
    already: list[tuple[str, str]] = field(default_factory=list)  # model, data set
    n_images: int = 0  # pictures that went through a model in this call
    n_failures: int = 0  # pictures of all requested runs that could not be used


def commonest_failure(path: str, done: Encoded, questions: Questions | None = None) -> str:
    """Return a line on why most pictures of a run failed, with their count and one of them.

    Parameters
    ----------
    path
        Of the store.
    done
        A run with failures.
    questions
        What language models of the request were asked.
    """
    store = Store.open(path)
    names = done.model, done.dataset
    failures = store.failures(*names)
    if questions and questions.name in protocols(store.files, *names):
        failures = answer_failures(store.files, *names, questions.name)
    counted = failures.group_by("stage", "reason").agg(pl.len(), pl.col("row").min())
    first = counted.sort("len", "row", descending=[True, False]).row(0, named=True)
    picture = store.samples(done.dataset)["path"][first["row"]]
    return f"{first['len']} of them, such as {picture}: {first['stage']}: {first['reason']}"
