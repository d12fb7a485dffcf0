"""Pictures of one data set after the other through one model, without a pause between.

While the last pictures of a data set are with the model, the next one's are decoded, by the same
processes, what is finished is written, and the one after is planned, whose files must reach the
disk: many small data sets cost hardly more than one large one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedstore.encode.images import N_SLOTS, Batch, ImagePass
from embedstore.encode.provenance import check_reproduces
from embedstore.encode.writer import Writer
from embedstore.errors import EmbedStoreError
from embedstore.store.runs import Failure

if TYPE_CHECKING:
    from embedstore.encode.device import Result
    from embedstore.encode.device_decode import DeviceDecoder
    from embedstore.encode.pool import DecodePool
    from embedstore.encode.worker import SlotFailure


@dataclass(slots=True)
class _Turn:
    """A batch on its way, or the end of its pass, which goes the same way."""

    of: ImagePass
    batch: Batch | None
    slot: int = -1
    decoded: Future[list[SlotFailure]] | None = None
    failures: list[Failure] = field(default_factory=list)
    result: Result | None = None

    @property
    def n_rows(self) -> int:
        """Pictures of the batch."""
        return 0 if self.batch is None else self.batch.stop - self.batch.start


def stream(passes: Iterable[ImagePass]) -> None:
    """Run passes of one model in order.

    Parameters
    ----------
    passes
        Each is asked for, by a thread of its own, when the one before is begun.

    Raises
    ------
    NonFiniteError
        If the model gives NaN or infinity for a picture that could be read.
    EmbedStoreError
        What asking for a pass raised, when all before it are finished.
    """
    _Stream(passes)()


class _Stream:
    """Batches decoding and computing, in order, one of them behind the model: it never waits."""

    def __init__(self, passes: Iterable[ImagePass]) -> None:
        self._turns = _turns(_ahead(passes))
        self._free = deque(range(N_SLOTS))
        self._decoding: deque[_Turn] = deque()
        self._computing: deque[_Turn] = deque()
        self._decoder: DecodePool | DeviceDecoder | None = None
        self._slot_rows = 0  # pictures that a slot of the decoder holds
        self._opened = ExitStack()
        self._error: EmbedStoreError | None = None

    def __call__(self) -> None:
        writer = Writer()
        try:
            with self._opened:
                self._run(writer)
        finally:
            writer.close()
        if self._error is not None:
            raise self._error

    def _run(self, writer: Writer) -> None:
        following = self._next()
        while following or self._decoding or self._computing:
            while following and self._hand_out(following):
                following = self._next()
            if self._decoding:
                self._compute(self._decoding.popleft())
            if len(self._computing) > 1 or not self._decoding:
                self._collect(self._computing.popleft(), writer)

    def _next(self) -> _Turn | None:
        try:
            return next(self._turns, None)
        except EmbedStoreError as error:  # of a pass to come: those before it are finished first
            self._error = error
            return None

    def _hand_out(self, turn: _Turn) -> bool:
        """Have a batch decoded; False where it must wait for those before it."""
        if turn.batch is not None:
            if not self._free or not self._holds(turn):
                return False
            assert self._decoder is not None, "it was opened for this batch or one before"
            turn.slot = self._free.popleft()
            pictures = turn.of.pictures
            self._decoder.reader = pictures.reader
            locators = pictures.locators[turn.batch.start : turn.batch.stop]
            turn.decoded = self._decoder.submit(turn.slot, list(locators))
        self._decoding.append(turn)
        return True

    def _holds(self, turn: _Turn) -> bool:
        """Whether slots are large enough; they are made anew when nothing is in them."""
        if turn.n_rows <= self._slot_rows:
            return True
        if len(self._free) < N_SLOTS:
            return False
        self._opened.close()
        self._slot_rows = turn.of.plan.batch_rows
        self._decoder = self._opened.enter_context(turn.of.decoder(self._slot_rows))
        return True

    def _compute(self, turn: _Turn) -> None:
        if turn.batch is not None and turn.decoded is not None:
            assert self._decoder is not None, "it decodes the batch"
            start = turn.batch.start
            turn.failures = [Failure(start + i, *why) for i, *why in turn.decoded.result()]
            turn.result = turn.of.forward(self._decoder.pixels(turn.slot, turn.n_rows))
        self._computing.append(turn)

    def _collect(self, turn: _Turn, writer: Writer) -> None:
        if turn.batch is None:
            turn.of.end(writer)
            return
        assert turn.result is not None, "it was computed"
        turn.of.collect(turn.batch, turn.result, turn.failures, writer)
        self._free.append(turn.slot)


def _ahead(passes: Iterable[ImagePass]) -> Iterator[ImagePass]:
    """Yield passes, the next one under way."""
    iterator = iter(passes)
    with ThreadPoolExecutor(1, thread_name_prefix="plan") as thread:
        following = thread.submit(next, iterator, None)
        while (image_pass := following.result()) is not None:
            following = thread.submit(next, iterator, None)
            yield image_pass


def _turns(passes: Iterable[ImagePass]) -> Iterator[_Turn]:
    for image_pass in passes:
        missing = image_pass.missing()
        if missing:
            check_reproduces(image_pass)
            for batch in image_pass.batches(missing):
                yield _Turn(image_pass, batch)
        yield _Turn(image_pass, None)
