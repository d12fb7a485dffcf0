"""Whether a language model still gives the same scores when a run of answers is resumed elsewhere.

Dimensions: R answers of a block.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore.encode.answers.answer_pass import ANSWERS, AnswerPass, answer_row, answer_table
from embedstore.errors import IdentityError
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.tables import from_parquet

#: Samples that are asked about again: a language model takes its time.
N_PROBES = 4
#: Largest difference of a score per token, nats, by precision.
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}


def check_answers(answer_pass: AnswerPass) -> None:
    """Ask about a few samples again if a former worker ran other versions or another device.

    Raises
    ------
    IdentityError
        If a score per token differs by more than the precision's tolerance.
    """
    run = answer_pass.run
    block = None if run is None else _from_elsewhere(run, answer_pass)
    if run is None or block is None:
        return
    stored = from_parquet(run.read_table(block, ANSWERS)).filter(pl.col("scores").is_not_null())
    rows = stored["sample_index"].unique().sort().head(N_PROBES).to_list()
    again = _again(answer_pass, block, rows)
    both = stored.join(again, on=["sample_index", "order"], suffix="_again")
    column = "scores_per_token"
    difference = both[column].explode().to_numpy() - both[f"{column}_again"].explode().to_numpy()
    worst = float(np.abs(difference).max(initial=0.0))
    if worst > TOLERANCE[run.plan.precision]:
        raise IdentityError(
            f"{run.folder} was begun under other versions or on another device, and the model does "
            f"not score the same here (by {worst:.3g} nats a token); resume it there, or ask under "
            "another name: --model NAME=SPEC"
        )
    answer_pass.progress.notice(
        f"begun under other versions; {len(rows)} samples, asked about again, agree"
    )


def _from_elsewhere(run: BlockRun, answer_pass: AnswerPass) -> int | None:
    """Return the first finished block that another version or device answered, or None."""
    here = {k: str(v) for k, v in answer_pass.provenance.items()}
    for block in sorted(set(range(run.plan.n_blocks)) - set(run.missing())):
        record = run.block_record(block)
        there = {k: str(v) for k, v in dict(record["provenance"]).items()} if record else here
        if there != here:
            return block
    return None


def _again(answer_pass: AnswerPass, block: int, rows: list[int]) -> pl.DataFrame:
    """Return the answers about some rows of a block; pictures that fail this time are left out."""
    start, stop = answer_pass.plan.rows(block)
    asked = answer_pass.asked(start, stop)
    prepared = [(row, answer_pass.prepare(row), asked[row - start]) for row in rows]
    usable = [(r, p, a) for r, p, a in prepared if a and not isinstance(p, Failure)]
    if not usable:
        return answer_table([])
    said = answer_pass.say([p for _, p, _ in usable], [a for _, _, a in usable])
    return answer_table(
        [
            answer_row(row, order, one, said.likelihoods[i][order], None)
            for i, (row, _, of) in enumerate(usable)
            for order, one in enumerate(of)
        ]
    )
