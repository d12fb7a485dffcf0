"""Answers as a store keeps them: one table a data set and protocol, and outcomes made of it.

A sample's outcome is the class of the highest mean score per token over the orders, ties to the
lower class; where texts were decoded, the class that most orders name, of classes named as often
the one that a hash of the sample's id draws.

Dimensions: N samples, R answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from embedstore.encode.answers.answer_pass import ANSWERS
from embedstore.encode.answers.questions import Questions
from embedstore.errors import DamagedError
from embedstore.heads.outcomes import save_outcomes
from embedstore.importers.outcomes import Said, followed, said_outcomes
from embedstore.interaction.deciding import Score, decisions
from embedstore.labels import Judgement, judgements
from embedstore.store import Store
from embedstore.store.answers import answers_manifest, save_answers
from embedstore.store.datasets import DatasetRecord
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.runs import BlockRun
from embedstore.store.tables import from_parquet

#: Why outcomes of answers hold a class and no more.
_NO_LOGITS = "a language model's answers have no logits"
_NULLS = ("confidence", "max_logit", "energy", "entropy", "margin", "nll", "brier")


def save_run(
    store: Store, names: tuple[str, str], run: BlockRun, name: str, facts: Mapping[str, Any]
) -> None:
    """Commit the answers of all blocks as one table, unless another worker has.

    Parameters
    ----------
    store, names
        Where they belong: the model's name and the data set's.
    run
        All of whose blocks are there.
    name
        What the answers are called.
    facts
        How they came about.
    """
    try:
        blocks = range(run.plan.n_blocks)
        table = pl.concat([from_parquet(run.read_table(b, ANSWERS)) for b in blocks]).rechunk()
        failures = run.failures()
        records = [run.block_record(b) for b in blocks]
    except (FileNotFoundError, DamagedError):
        if answers_manifest(store.files, *names, name) is not None:
            return  # another worker has committed them meanwhile, and cleared the blocks
        raise
    ran = [record["provenance"] for record in records if record]
    distinct = [one for i, one in enumerate(ran) if one not in ran[:i]]
    kept = {**facts, "provenance": {"kind": "asked", "workers": distinct}}
    save_answers(store.files, *names, name, table, kept, failures)


def own_judgements(record: DatasetRecord, samples: pl.DataFrame) -> list[Judgement]:
    """Return the judgements of a class of the data set's own: those that a class decides."""
    found = judgements(record.class_ids, record, samples)
    return [j for j in found if followed(j, len(record.class_ids)) is not None]


def save_answer_outcomes(
    store: Store,
    names: tuple[str, str],
    answers: pl.DataFrame,
    questions: Questions,
    judged: Sequence[Judgement],
    facts: Mapping[str, Any],
) -> None:
    """Commit the classes that answers decide on as outcomes, under a head of the answers' name.

    Parameters
    ----------
    store, names
        Where they belong: the model's name and the data set's.
    answers
        R rows, columns of `schema.ANSWERS`.
    questions
        What was asked.
    judged
        Label spaces, of :func:`own_judgements`.
    facts
        `inputs`: digests of what the answers are from.
    """
    record = store.dataset(names[1])
    said = _said(answers, store.samples(names[1])["sample_id"], questions)
    for one in judged:
        place = followed(one, len(record.class_ids))
        assert place is not None, "judgements are those that a class decides"
        table, nulls = said_outcomes(one, place, said)
        reasons = dict.fromkeys(_NULLS, _NO_LOGITS) | {"label_rank": nulls["label_rank"]}
        kept = {
            "n_rows": record.n_samples,
            "inputs": dict(facts["inputs"]),
            "protocol": questions.protocol.name,
            "provenance": {"kind": "answers", "decoding": questions.decoding},
            "nulls": reasons,
        }
        save_outcomes(store, OutcomeRun(*names, questions.name, one.space.name), table,
                      one.record(), kept)  # fmt: skip


def _said(answers: pl.DataFrame, ids: pl.Series, questions: Questions) -> Said:
    """Return what is decided of each sample: (R,) answers, (N,) ids -> (N,)."""
    classes, asked = np.full(len(ids), -1, np.int64), np.zeros(len(ids), bool)
    answered = answers.filter(pl.col("scores").is_not_null())
    if not answered.is_empty():
        score: Score = "text" if questions.decoding == "greedy" else "per-token"
        joint = decisions(answered, score, f"answers by {questions.name!r}", ids).samples
        rows = joint["sample_index"].to_numpy()
        classes[rows], asked[rows] = joint["decision"].fill_null(-1).to_numpy(), True
    return Said(classes, asked & (classes < 0), None)
