"""What a head says of a data set: logits and outcomes, block by block, from stored embeddings.

No model is needed, except for native heads, whose logits the encoder brings.

Dimensions: B rows of a block, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.errors import IdentityError
from embedstore.heads.head import Head
from embedstore.kernels.half import narrow
from embedstore.kernels.outcomes import Outcomes, outcomes
from embedstore.labels import LabelSpace
from embedstore.store import Store, layout
from embedstore.store.manifest import commit, read_manifest
from embedstore.store.outcomes import TABLE, OutcomeRun
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out
from embedstore.store.tables import from_parquet, to_parquet

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeadRun:
    """Logits and outcomes of one head over one data set, under way."""

    store: Store
    model: str
    dataset: str
    name: str
    head: Head
    space: LabelSpace
    labels: npt.NDArray[np.int64]  # (N,) in the label space, -1 where there is none
    run: BlockRun

    @classmethod
    def start(
        cls,
        store: Store,
        images: BlockRun,
        names: tuple[str, str, str],
        head: Head,
        space: LabelSpace,
        labels: npt.NDArray[np.integer],
    ) -> HeadRun:
        """Plan the run beside the images' run `images`, or take over the plan that is there.

        Parameters
        ----------
        store, images
            Where the embeddings are, or come to be.
        names
            Of the model, the data set and the head.
        head, space
            What makes logits of embeddings, and outcomes of logits.
        labels
            (N,) the data set's labels, -1 where there is none.
        """
        model, dataset, name = names
        manifest = read_manifest(store.files, layout.head(model, name))
        assert manifest is not None, "the head is committed before its first run"
        shape = (images.plan.n_rows, len(head.class_ids))
        arrays = (
            lay_out(schema.LOGITS, shape, images.plan.block_rows),
            lay_out(schema.MAXIMUM, shape[:1], images.plan.block_rows),
        )
        plan = Plan(
            kind="logits",
            n_rows=images.plan.n_rows,
            block_rows=images.plan.block_rows,
            batch_rows=images.plan.batch_rows,
            precision="float32",
            inputs={**images.plan.inputs, "head": manifest.digest},
            arrays=arrays,
        )
        run = BlockRun.start(store.files, layout.logits(model, dataset, name), plan)
        if run.plan.block_rows != images.plan.block_rows:
            raise IdentityError(
                f"{run.folder} was begun with blocks of {run.plan.block_rows} rows, its images "
                f"with {images.plan.block_rows}; remove both with: embedstore rm STORE "
                f"--model {model} --data {dataset}"
            )
        return cls(store, model, dataset, name, head, space, space.labels(labels), run)

    @property
    def outcome_run(self) -> OutcomeRun:
        """What names the outcome table."""
        return OutcomeRun(self.model, self.dataset, self.name, self.space.name)

    @property
    def finished(self) -> bool:
        """Whether logits and outcomes are committed."""
        return is_finished(self.store, self.outcome_run)

    def commit(
        self, block: int, embeddings: npt.NDArray[np.float16], native: F32 | None = None
    ) -> None:
        """Write the block's logits and outcomes.

        Parameters
        ----------
        block
            Which block.
        embeddings
            (B, D) as the store holds them: rows of failed pictures are NaN.
        native
            (B, C) the model's own logits, for a native head.
        """
        failed = np.isnan(embeddings[:, 0])
        if native is None:
            logits = self.head.logits(embeddings)
        else:  # the picture may have failed for one of two workers only
            failed = failed | np.isnan(native).all(axis=1)
            logits = np.where(failed[:, None], np.float32(np.nan), native)
        start, stop = self.run.plan.rows(block)
        said = outcomes(
            self.space.cut(logits), self.labels[start:stop], failed=failed, first_row=start
        )
        centred, maximum = narrow(logits)
        self.run.commit(
            block,
            {"logits": centred, "maximum": maximum},
            tables={"outcomes": to_parquet(outcome_table(said))},
        )

    def finish(self) -> None:
        """Commit the logits, then the outcomes of all blocks as one table."""
        self.run.finish({"space": self.space.name})
        parts = [
            from_parquet(self.run.read_table(block, "outcomes"))
            for block in range(self.run.plan.n_blocks)
        ]
        data = to_parquet(pl.concat(parts).rechunk())
        facts = {"n_rows": self.run.plan.n_rows, "inputs": dict(self.run.plan.inputs)}
        commit(self.store.files, self.outcome_run.folder, "outcomes", {TABLE: data}, facts)


def is_finished(store: Store, run: OutcomeRun) -> bool:
    """Whether logits and outcomes are committed, of the head that the model has now."""
    logits = read_manifest(store.files, layout.logits(run.model, run.dataset, run.head))
    head = read_manifest(store.files, layout.head(run.model, run.head))
    outcomes_ = read_manifest(store.files, run.folder)
    if logits is None or head is None or outcomes_ is None:
        return False
    return bool(outcomes_.facts["inputs"]["head"] == head.digest)


def derive(images: BlockRun, runs: Sequence[HeadRun]) -> None:
    """Bring head runs up to date with a finished images' run, and finish them; no model needed."""
    for head_run in runs:
        for block in head_run.run.missing():
            head_run.commit(block, images.read(block, "embeddings"))
        if not head_run.finished:
            head_run.finish()


def outcome_table(said: Outcomes) -> pl.DataFrame:
    """Return outcomes as a table: null where the picture failed, or the label is not known."""
    of_label = {"correct", "label_rank", "nll", "brier"}
    columns: dict[str, Any] = {}
    for name, dtype in schema.OUTCOMES.items():
        known = said.valid & said.labelled if name in of_label else said.valid
        column = pl.Series(name, getattr(said, name), dtype=dtype)
        columns[name] = column.set(pl.Series(~known), None)
    return pl.DataFrame(columns)
