"""The pass over pictures that a language model is asked about: read, look, answer, write by block.

Threads read and prepare the next batches while the model works; a thread of its own writes. Patch
features of the model's image tower come from the same look.

Dimensions: N samples, B rows of a block, b of a batch; h, w, d of a layer's patches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.datasets.pictures import decode
from embedstore.encode.answers.questions import Asked, Questions
from embedstore.encode.images import Batch, Pictures, batches_of
from embedstore.encode.patches import PatchRun
from embedstore.encode.progress import Progress
from embedstore.encode.writer import Writer
from embedstore.errors import NonFiniteError, PictureError
from embedstore.models.answering import Answered, AnsweringModel, Likelihoods
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.tables import from_parquet, to_parquet

#: Batches that are prepared ahead of the model.
AHEAD = 2
#: Name of a block's table.
ANSWERS = "answers"

#: The questions about the rows of a block; None where a row cannot be asked about.
AskBlock = Callable[[int, int], Sequence[Sequence[Asked] | None]]


@dataclass(slots=True)
class AnswerBlock:
    """A block in memory, filled batch by batch."""

    start: int
    asked: Sequence[Sequence[Asked] | None]  # (B,)
    patches: list[npt.NDArray[np.float16]]  # (B, h, w, d) of each layer
    answers: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class AnswerPass:
    """One language model over one data set: all blocks that are not finished."""

    def __init__(
        self,
        run: BlockRun | None,
        patches: Sequence[PatchRun],
        pictures: Pictures,
        model: AnsweringModel,
        questions: Questions,
        ask: AskBlock,
        *,
        n_workers: int,
        provenance: Mapping[str, Any],
        progress: Progress,
    ) -> None:
        """Plan a pass; without a `run` of answers, pictures are only looked at for patches."""
        self.run, self.patches, self.pictures, self.model = run, patches, pictures, model
        self.questions, self.asked = questions, ask
        self.n_workers, self.provenance, self.progress = n_workers, provenance, progress
        self._block: AnswerBlock | None = None

    @property
    def plan(self) -> Plan:
        """What the pass goes by: rows of blocks and batches."""
        return self.patches[0].run.plan if self.run is None else self.run.plan

    def missing(self) -> list[int]:
        """Return the blocks without answers or patches."""
        runs = [p.run for p in self.patches] + ([] if self.run is None else [self.run])
        return sorted(set[int]().union(*(run.missing() for run in runs)))

    def __call__(self) -> None:
        """Ask what is missing.

        Raises
        ------
        NonFiniteError
            If the model gives NaN or infinity for a picture that could be read.
        """
        writer = Writer()
        try:
            with ThreadPoolExecutor(self.n_workers) as pool:
                for batch, prepared in self._prepared(pool, self.missing()):
                    self._collect(batch, prepared, writer)
        finally:
            writer.close()

    def prepare(self, row: int) -> Any:
        """Return what the model takes of a picture, or the failure; nothing is raised."""
        try:
            return self.model.prepare(decode(self.pictures.reader(self.pictures.locators[row])))
        except PictureError as error:
            return Failure(row, error.stage, error.reason)
        except Exception as error:  # noqa: BLE001  hostile bytes may raise anything: one picture's fault
            return Failure(row, "transform", f"{type(error).__name__}: {error}")

    def say(
        self, pictures: Sequence[Any], asked: Sequence[Sequence[Asked]], layers: Sequence[int] = ()
    ) -> Answered:
        """Ask about pictures that are prepared."""
        questions = [[one.question for one in of] for of in asked]
        tokens = self.questions.max_tokens
        return self.model.answer(pictures, questions, layers=layers, max_tokens=tokens)

    def _prepared(
        self, pool: ThreadPoolExecutor, blocks: Sequence[int]
    ) -> Iterator[tuple[Batch, list[Any]]]:
        """Yield batches in order, the next ones under way."""
        waiting: deque[tuple[Batch, list[Future[Any]]]] = deque()
        try:
            for batch in batches_of(self.plan, blocks):
                rows = range(batch.start, batch.stop)
                waiting.append((batch, [pool.submit(self.prepare, row) for row in rows]))
                if len(waiting) > AHEAD:
                    first, futures = waiting.popleft()
                    yield first, [future.result() for future in futures]
            while waiting:
                first, futures = waiting.popleft()
                yield first, [future.result() for future in futures]
        finally:
            for _, futures in waiting:
                for future in futures:
                    future.cancel()

    def _collect(self, batch: Batch, prepared: list[Any], writer: Writer) -> None:
        block = self._begun(batch)
        usable: list[tuple[int, Any, Sequence[Asked]]] = []
        for row, picture in zip(range(batch.start, batch.stop), prepared, strict=True):
            asked = block.asked[row - block.start]
            if isinstance(picture, Failure):
                block.failures.append(picture)
            elif asked is None:
                reason = "the reference head has no logits of it"
                block.failures.append(Failure(row, "reference", reason))
            else:
                usable.append((row, picture, asked))
        if usable:
            rows, pictures, asked_of = zip(*usable, strict=True)
            layers = [p.layer for p in self.patches]
            said = self.say(
                pictures, asked_of if self.run is not None else [[]] * len(rows), layers
            )
            if self.run is not None:
                self._keep_answers(block, rows, asked_of, said)
            self._keep_patches(block, rows, said)
        read = int(self.pictures.n_bytes[batch.start : batch.stop].sum())
        self.progress.advance(batch.stop - batch.start, read)
        if batch.last:
            writer.put(partial(self._write, batch.block, block))
            self._block = None

    def _begun(self, batch: Batch) -> AnswerBlock:
        if self._block is None:
            start, stop = self.plan.rows(batch.block)
            shapes = [p.run.plan.arrays[0].shape[1:] for p in self.patches]
            asked = [()] * (stop - start) if self.run is None else self.asked(start, stop)
            room = [np.full((stop - start, *s), np.nan, np.float16) for s in shapes]
            self._block = AnswerBlock(start, asked, room)
        return self._block

    def _keep_answers(
        self,
        block: AnswerBlock,
        rows: Sequence[int],
        asked: Sequence[Sequence[Asked]],
        said: Answered,
    ) -> None:
        for i, row in enumerate(rows):
            texts: Sequence[str | None] = said.texts[i] or [None] * len(asked[i])
            for order, one in enumerate(asked[i]):
                likely = said.likelihoods[i][order]
                if not np.isfinite(likely.sums).all():
                    raise NonFiniteError(
                        f"the model gives NaN or infinity for row {row} "
                        f"({self.pictures.paths[row]}); its block is not stored: try --precision "
                        "bfloat16 or float32"
                    )
                block.answers.append(answer_row(row, order, one, likely, texts[order]))

    def _keep_patches(self, block: AnswerBlock, rows: Sequence[int], said: Answered) -> None:
        places = [row - block.start for row in rows]
        for kept, found in zip(block.patches, said.patches, strict=True):
            narrow = found.half().cpu().numpy()
            finite = np.isfinite(narrow).reshape(len(narrow), -1).all(axis=1)
            if not finite.all():
                row = rows[int(np.argmin(finite))]
                raise NonFiniteError(
                    f"patches of row {row} ({self.pictures.paths[row]}) hold NaN, infinity or more "
                    "than 65,504; their block is not stored: name another layer with --patches"
                )
            kept[places] = narrow

    def _write(self, number: int, block: AnswerBlock) -> None:
        failures = {f.row: f for f in block.failures}
        if self.run is not None:
            failed = [
                {"sample_index": row, "order": order}
                for row in failures
                for order in range(self.questions.protocol.n_orders)
            ]
            table = answer_table([*block.answers, *failed])
            held = self.run.held_table(number, ANSWERS, to_parquet(table))
            failures = self._agreed(held, failures)
            self.run.commit(
                number,
                {},
                tables={ANSWERS: held},
                failures=list(failures.values()),
                provenance=self.provenance,
            )
        for patches, values in zip(self.patches, block.patches, strict=True):
            patches.commit(number, values, list(failures.values()), self.provenance)

    def _agreed(self, held: bytes, mine: Mapping[int, Failure]) -> dict[int, Failure]:
        """Bring failures in line with a table that another worker wrote first."""
        found = from_parquet(held).filter(pl.col("question").is_null())["sample_index"].unique()
        unknown = "failed for another worker"
        return {
            row: mine.get(row, Failure(row, "decode", unknown)) for row in found.sort().to_list()
        }


def answer_row(
    row: int, order: int, asked: Asked, likely: Likelihoods, text: str | None
) -> dict[str, Any]:
    """Return one answer, columns of `schema.ANSWERS`.

    The likeliest option per token is the prediction, the first asked of equals; where a text was
    decoded, the option that it names is.
    """
    per_token = likely.per_token
    place: int | None = int(per_token.argmax())
    if text is not None:
        place = asked.place(text)
    return {
        "sample_index": row,
        "order": order,
        "question": asked.question.text,
        "options": list(asked.names),
        "option_classes": list(asked.classes),
        "scores": likely.sums.tolist(),
        "scores_per_token": per_token.tolist(),
        "prediction": None if place is None else asked.classes[place],
        "answer": None if place is None else asked.question.options[place],
        "text": text,
    }


def answer_table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return answers as a table, sorted by sample and order."""
    frame = pl.DataFrame(list(rows), schema=dict(schema.ANSWERS))
    return frame.sort("sample_index", "order")
