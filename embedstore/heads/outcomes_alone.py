"""What a head says of a data set where its logits are not kept: outcomes alone, block by block.

Each label space is a block run without arrays, in the folder that its table is committed to: a
block's table lies there until then, so that a killed run resumes and nothing is held whole. What is
committed is the same, byte for byte, as beside logits.

Dimensions: B rows of a block, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DamagedError
from embedstore.heads.head import Head
from embedstore.heads.outcomes import is_judged, outcome_table, save_outcomes
from embedstore.heads.run import F32, block_logits, check_blocks, check_same, refuse_non_finite
from embedstore.heads.stored import head_digest
from embedstore.labels import Judgement
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.plans import Plan
from embedstore.store.records import digest_of_record
from embedstore.store.runs import BlockRun, clear_blocks
from embedstore.store.tables import from_parquet, to_parquet

_TABLE = "outcomes"  # of a block


@dataclass(frozen=True, slots=True)
class SpaceRun:
    """One label space's outcomes, under way."""

    names: OutcomeRun
    judged: Judgement
    run: BlockRun


@dataclass(frozen=True, slots=True)
class OutcomesAlone:
    """Outcomes of one head over one data set, under way; a :class:`~embedstore.heads.run.HeadWork`.

    Label spaces that are judged already have no run.
    """

    store: Store
    head: Head
    spaces: tuple[SpaceRun, ...]

    @classmethod
    def start(
        cls,
        store: Store,
        images: BlockRun,
        names: tuple[str, str, str],
        head: Head,
        judgements: Sequence[Judgement],
    ) -> OutcomesAlone:
        """Plan the runs beside the images' run `images`, or take over the plans that are there.

        Parameters
        ----------
        store, images
            Where the embeddings are, or come to be.
        names
            Of the model, the data set and the head.
        head, judgements
            What makes logits of embeddings, and outcomes of logits.

        Raises
        ------
        IdentityError
            If the store has, or has begun, outcomes in another label space of that name.
        """
        model, dataset, name = names
        inputs = {**images.plan.inputs, "head": head_digest(store, model, name)}
        spaces = []
        for judged in judgements:
            named = OutcomeRun(model, dataset, name, judged.space.name)
            if is_judged(store, named):
                check_same(store, named, judged)
                continue
            space = digest_of_record(judged.record())
            plan = Plan(
                "outcomes",
                images.plan.n_rows,
                images.plan.block_rows,
                images.plan.batch_rows,
                "float32",
                {**inputs, "label space": space},
            )
            run = BlockRun.start(store.files, named.folder, plan)
            check_blocks(run, images, (model, dataset))
            spaces.append(SpaceRun(named, judged, run))
        return cls(store, head, tuple(spaces))

    def missing(self) -> list[int]:
        """Return the blocks that are not judged in every label space, in order."""
        left = (s.run.missing() for s in self.spaces if not is_judged(self.store, s.names))
        return sorted(set[int]().union(*left))

    def commit(
        self, block: int, embeddings: npt.NDArray[np.float16], native: F32 | None = None
    ) -> None:
        """Write the block's outcomes.

        Parameters
        ----------
        block
            Which block.
        embeddings
            (B, D) as the store holds them: rows of failed pictures are NaN.
        native
            (B, C) the model's own logits, for a native head.

        Raises
        ------
        NonFiniteError
            If logits hold NaN or infinity, also of classes that no label space has.
        """
        if not self.spaces:
            return
        start, _ = self.spaces[0].run.plan.rows(block)
        logits, failed = block_logits(self.head, embeddings, native)
        refuse_non_finite(logits.max(axis=1), failed, start)
        for space in self.spaces:
            table = outcome_table(space.judged(logits, start, failed))
            space.run.commit(block, {}, tables={_TABLE: to_parquet(table)})

    def finish(self, images: BlockRun | None = None) -> None:  # noqa: ARG002  all blocks have tables
        """Commit the outcomes of all blocks, one table a label space."""
        for space in self.spaces:
            if not is_judged(self.store, space.names):
                self._save(space)
            clear_blocks(self.store.files, space.names.folder)

    def _save(self, space: SpaceRun) -> None:
        plan = space.run.plan
        inputs = {k: v for k, v in plan.inputs.items() if k != "label space"}
        try:
            tables = [from_parquet(space.run.read_table(b, _TABLE)) for b in range(plan.n_blocks)]
        except (FileNotFoundError, DamagedError):
            if is_judged(self.store, space.names):
                return  # another worker has committed them meanwhile, and cleared the blocks
            raise
        facts = {"n_rows": plan.n_rows, "inputs": inputs}
        table = pl.concat(tables).rechunk()
        save_outcomes(self.store, space.names, table, space.judged.record(), facts)
