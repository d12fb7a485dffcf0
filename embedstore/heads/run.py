"""What a head says of a data set: logits and outcomes, block by block, from stored embeddings.

No model is needed, except for native heads, whose logits the encoder brings.

Dimensions: B rows of a block, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.errors import IdentityError, NonFiniteError
from embedstore.heads.head import Head
from embedstore.heads.outcomes import is_finished, outcome_table, save_outcomes
from embedstore.heads.stored import head_digest
from embedstore.kernels.half import narrow, widen
from embedstore.labels import Judgement
from embedstore.store import Store, layout
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.plans import Plan
from embedstore.store.records import digest_of_record
from embedstore.store.runs import Arrays, BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.store.tables import from_parquet, to_parquet

F32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


class HeadWork(Protocol):
    """What one head says of one data set, under way: its logits kept (:class:`HeadRun`) or not."""

    @property
    def head(self) -> Head:
        """The head."""
        ...

    def missing(self) -> list[int]:
        """Return the blocks of which something is still to be written, in order."""
        ...

    def commit(
        self, block: int, embeddings: npt.NDArray[np.float16], native: F32 | None = None
    ) -> None:
        """Write what is kept of a block: (B, D), and (B, C) logits of a native head."""
        ...

    def finish(self, images: BlockRun | None = None) -> None:
        """Commit all, when no block is missing; `images` are the embeddings."""
        ...


@dataclass(frozen=True, slots=True)
class HeadRun:
    """Logits and outcomes of one head over one data set, under way."""

    store: Store
    model: str
    dataset: str
    name: str
    head: Head
    judgements: tuple[Judgement, ...]  # one a label space
    run: BlockRun

    @classmethod
    def start(
        cls,
        store: Store,
        images: BlockRun,
        names: tuple[str, str, str],
        head: Head,
        judgements: Sequence[Judgement],
    ) -> HeadRun:
        """Plan the run beside the images' run `images`, or take over the plan that is there.

        Parameters
        ----------
        store, images
            Where the embeddings are, or come to be.
        names
            Of the model, the data set and the head.
        head, judgements
            What makes logits of embeddings, and outcomes of logits.
        """
        model, dataset, name = names
        plan = logits_plan(
            (images.plan.n_rows, len(head.class_ids)),
            (images.plan.block_rows, images.plan.batch_rows),
            {**images.plan.inputs, "head": head_digest(store, model, name)},
        )
        run = BlockRun.start(store.files, layout.logits(model, dataset, name), plan)
        check_blocks(run, images, (model, dataset))
        return cls(store, model, dataset, name, head, tuple(judgements), run)

    def missing(self) -> list[int]:
        """Return the blocks that have no logits yet, in order."""
        return self.run.missing()

    @property
    def finished(self) -> bool:
        """Whether logits and all outcomes are committed."""
        return all(is_finished(self.store, self.outcome_run(j)) for j in self.judgements)

    def outcome_run(self, judgement: Judgement) -> OutcomeRun:
        """Return what names the outcome table of a judgement."""
        return OutcomeRun(self.model, self.dataset, self.name, judgement.space.name)

    def commit(
        self,
        block: int,
        embeddings: npt.NDArray[np.float16],
        native: F32 | None = None,
        failures: Sequence[Failure] = (),
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
        failures
            Samples without logits, where these come without embeddings, whose run says why.

        Raises
        ------
        NonFiniteError
            If logits hold NaN or infinity, also of classes that no label space has.
        """
        start, _ = self.run.plan.rows(block)
        logits, failed = block_logits(self.head, embeddings, native)
        centred, maximum = narrow(logits)
        refuse_non_finite(maximum, failed, start)
        tables = {
            _table_name(judged): to_parquet(outcome_table(judged(logits, start, failed)))
            for judged in self.judgements
        }
        arrays: Arrays = {"logits": centred, "maximum": maximum}
        self.run.commit(block, arrays, tables=tables, failures=failures)

    def finish(self, images: BlockRun | None = None) -> None:
        """Commit the logits, then the outcomes of all blocks, one table a label space.

        A space that was not asked for when a block was written is judged now: from the embeddings
        `images`, or where there are none, or the head is native, from the stored logits.
        """
        self.run.finish()
        blocks = range(self.run.plan.n_blocks)
        facts = {"n_rows": self.run.plan.n_rows, "inputs": dict(self.run.plan.inputs)}
        for judged in self.judgements:
            if is_finished(self.store, self.outcome_run(judged)):
                check_same(self.store, self.outcome_run(judged), judged)
            else:
                table = pl.concat([self._outcomes(b, judged, images) for b in blocks]).rechunk()
                save_outcomes(self.store, self.outcome_run(judged), table, judged.record(), facts)

    def _outcomes(self, block: int, judgement: Judgement, images: BlockRun | None) -> pl.DataFrame:
        if self.run.has_table(block, _table_name(judgement)):
            return from_parquet(self.run.read_table(block, _table_name(judgement)))
        if images is None or self.head.native:
            centred = self.run.read(block, "logits")
            logits = widen(centred.view(np.uint16), self.run.read(block, "maximum"))
        else:
            logits = self.head.logits(images.read(block, "embeddings"))
        start, _ = self.run.plan.rows(block)
        return outcome_table(judgement(logits, start, np.isnan(logits[:, 0])))


def logits_plan(shape: tuple[int, int], rows: tuple[int, int], inputs: Mapping[str, str]) -> Plan:
    """Return the plan of logits of `shape` (N, C), with `rows` of a block and of a batch."""
    n_rows, (block_rows, batch_rows) = shape[0], rows
    arrays = (
        lay_out(schema.LOGITS, shape, block_rows),
        lay_out(schema.MAXIMUM, shape[:1], block_rows),
    )
    return Plan("logits", n_rows, block_rows, batch_rows, "float32", inputs, arrays)


def derive(images: BlockRun, runs: Sequence[HeadWork]) -> None:
    """Bring head runs up to date with a finished images' run, and finish them; no model needed."""
    for head_run in runs:
        for block in head_run.missing():
            head_run.commit(block, images.read(block, "embeddings"))
        head_run.finish(images)


def block_logits(
    head: Head, embeddings: npt.NDArray[np.float16], native: F32 | None
) -> tuple[F32, Bool]:
    """Return a block's logits, NaN where the picture failed, and where it did: (B, C), (B,).

    Parameters
    ----------
    head, embeddings
        (B, D) as the store holds them: rows of failed pictures are NaN.
    native
        (B, C) the model's own logits, for a native head.
    """
    failed = np.isnan(embeddings[:, 0])
    if native is None:
        return head.logits(embeddings), failed
    failed = failed | np.isnan(native).all(axis=1)  # perhaps for one of two workers only
    return np.where(failed[:, None], np.float32(np.nan), native), failed


def check_blocks(run: BlockRun, images: BlockRun, names: tuple[str, str]) -> None:
    """Refuse a run whose blocks are not those of its images; `names` of model and data set."""
    if run.plan.block_rows != images.plan.block_rows:
        model, dataset = names
        raise IdentityError(
            f"{run.folder} was begun with blocks of {run.plan.block_rows} rows, its images "
            f"with {images.plan.block_rows}; remove both with: embedstore rm STORE "
            f"--model {model} --data {dataset}"
        )


def check_same(store: Store, run: OutcomeRun, judged: Judgement) -> None:
    """Refuse a label space whose name the outcomes that are there have for another one."""
    if store.space(run) != judged.record():
        raise IdentityError(
            f"{run.folder} was judged in another label space of that name; give yours another name"
        )


def _table_name(judgement: Judgement) -> str:
    """Name a block's table: a space that is defined anew between two calls is another one."""
    return f"outcomes-{judgement.space.name}-{digest_of_record(judgement.record())[:8]}"


def refuse_non_finite(maximum: F32, failed: Bool, start: int) -> None:
    """Name the first row whose largest logit, (B,), is NaN, as that of any NaN, or infinite."""
    bad = np.flatnonzero(~np.isfinite(maximum) & ~failed)
    if bad.size:
        raise NonFiniteError(
            f"the logits of row {start + bad[0]} hold NaN or infinity; check the model and its "
            "precision on that picture, or record the picture as failed"
        )
