"""Decoding processes: a crash or a hang costs one picture, never the run.

Dimensions: S slots, B pictures of a batch, H, W pixels.
"""

from __future__ import annotations

import mmap
import multiprocessing as mp
import os
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from embedstore.datasets.readers import Reader
from embedstore.encode.worker import SlotFailure, Task, work
from embedstore.errors import EmbedStoreError
from embedstore.transform import Transform

#: Pictures sent to a process at once: few enough that two processes end a batch together.
TASK_PICTURES = 4
#: A picture that takes longer, in seconds, is given up and its process replaced.
TIME_LIMIT = 60.0
#: A process that has not begun by then, in seconds, never will.
HELLO_LIMIT = 120.0


@dataclass(slots=True)
class _Worker:
    process: Any
    connection: Connection
    ready: bool = False  # whether it has said hello
    task: Task | None = None
    n_done: int = 0  # pictures of the task that came back
    since: float = 0.0  # when the picture under way began


@dataclass(slots=True)
class _Batch:
    future: Future[list[SlotFailure]]
    n_left: int
    failures: list[SlotFailure] = field(default_factory=list)


class DecodePool:
    """Processes that prepare pictures into shared memory, a slot a batch.

    A thread of its own hands out work and collects it, so that neither waits for the model. What is
    submitted is read by `reader`, which may be another one for the next batch.
    """

    def __init__(
        self,
        reader: Reader,
        transform: Transform,
        *,
        n_workers: int,
        n_slots: int,
        batch_rows: int,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._context = _context()
        shape = (n_slots, batch_rows, *transform.size, 3)
        # Unnamed shared memory: nothing is left behind, even by SIGKILL. Forked processes inherit a
        # mapping; one that is sent to others may need a file where shared memory is short.
        n_bytes = int(np.prod(shape))
        memory = mmap.mmap(-1, n_bytes) if self._forks else self._context.RawArray("B", n_bytes)
        self.slots: npt.NDArray[np.uint8] = np.frombuffer(memory, np.uint8).reshape(shape)
        self.reader = reader
        self._arguments = (transform, memory, shape)
        self._time_limit = time_limit
        self._queue: deque[Task] = deque()
        self._batches: dict[int, _Batch] = {}
        self._awake, self._wake = os.pipe()
        self._closing = False
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        for _ in range(n_workers):
            self._workers.append(self._started())
        self._thread = threading.Thread(target=self._serve, name="decode", daemon=True)
        self._thread.start()

    def submit(self, slot: int, locators: Sequence[str]) -> Future[list[SlotFailure]]:
        """Prepare pictures into the first rows of a slot; the future gives those that failed.

        The slot must not be in use; rows of failed pictures are zero.
        """
        future: Future[list[SlotFailure]] = Future()
        tasks = [
            Task(slot, i, self.reader, tuple(locators[i : i + TASK_PICTURES]))
            for i in range(0, len(locators), TASK_PICTURES)
        ]
        with self._lock:
            if self._error:
                raise self._error
            self._batches[slot] = _Batch(future, len(locators))
            self._queue.extend(tasks)
        os.write(self._wake, b"\0")
        return future

    def pixels(self, slot: int, n: int) -> npt.NDArray[np.uint8]:
        """Return the slot's first n pictures: (n, H, W, 3)."""
        return self.slots[slot, :n]

    def close(self) -> None:
        """End the processes; batches under way are given up."""
        if self._closing:
            return
        self._closing = True
        os.write(self._wake, b"\0")
        self._thread.join()
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.process.close()
        os.close(self._wake)
        os.close(self._awake)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def _forks(self) -> bool:
        return bool(self._context.get_start_method() == "fork")

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        # A forked process must not hold its siblings' connections open: they end when these do.
        siblings = [ours, *(w.connection for w in self._workers)] if self._forks else []
        process = self._context.Process(
            target=work, args=(theirs, siblings, *self._arguments), daemon=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # see _context
            process.start()
        theirs.close()
        return _Worker(process, ours, since=time.monotonic())

    def _serve(self) -> None:
        try:
            while not self._closing:
                self._hand_out()
                self._collect()
        except BaseException as error:  # noqa: BLE001  the thread's end must reach who waits for it
            with self._lock:
                self._error = error
                for batch in self._batches.values():
                    batch.future.set_exception(error)

    def _hand_out(self) -> None:
        for i, worker in enumerate(self._workers):
            if not worker.ready or worker.task is not None or not self._queue:
                continue
            with self._lock:
                task = self._queue.popleft()
            try:
                worker.connection.send(task)
            except (BrokenPipeError, ConnectionResetError):
                with self._lock:
                    self._queue.appendleft(task)
                self._replace(i, "crashed its decoder")
                continue
            worker.task, worker.n_done, worker.since = task, 0, time.monotonic()

    def _collect(self) -> None:
        connections = {w.connection: i for i, w in enumerate(self._workers)}
        for ready in wait([*connections, self._awake], timeout=1.0):
            if ready == self._awake:
                os.read(self._awake, 4096)
            else:
                self._receive(connections[ready])  # type: ignore[index]
        for i, worker in enumerate(self._workers):
            if not worker.ready and time.monotonic() - worker.since > HELLO_LIMIT:
                raise EmbedStoreError(
                    f"a decoding process did not start within {HELLO_LIMIT:g} s; free some memory, "
                    "or try --workers 1"
                )
            if worker.task and time.monotonic() - worker.since > self._time_limit:
                worker.process.kill()
                self._replace(i, f"took longer than {self._time_limit:g} s")

    def _receive(self, index: int) -> None:
        worker = self._workers[index]
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                if worker.ready:
                    self._returned(worker, message)
                worker.ready = True
        except (EOFError, ConnectionResetError):
            self._replace(index, "crashed its decoder")

    def _returned(self, worker: _Worker, failure: SlotFailure | None) -> None:
        task = worker.task
        assert task is not None
        worker.n_done += 1
        worker.since = time.monotonic()
        with self._lock:
            batch = self._batches[task.slot]
            batch.n_left -= 1
            if failure:
                batch.failures.append(failure)
            if batch.n_left == 0:
                del self._batches[task.slot]
        if worker.n_done == len(task.locators):
            worker.task = None
        if batch.n_left == 0:
            batch.future.set_result(sorted(batch.failures))

    def _replace(self, index: int, reason: str) -> None:
        """Put a new process in a dead one's place; the picture it was at is the failure."""
        worker = self._workers[index]
        worker.process.join(timeout=5)
        code = worker.process.exitcode
        worker.connection.close()
        task, n_done = worker.task, worker.n_done
        if not worker.ready:
            raise EmbedStoreError(
                f"a decoding process ended at once ({_ended(code)}); where processes do not fork, "
                'a script must call encode under: if __name__ == "__main__":'
            )
        self._workers[index] = self._started()
        if task is None:  # it died idle: nothing is lost
            return
        at = task.first + n_done
        self.slots[task.slot, at] = 0
        rest = task.locators[n_done + 1 :]
        with self._lock:
            if rest:
                self._queue.appendleft(replace(task, first=at + 1, locators=rest, again=False))
            if not task.again:  # perhaps not the picture's fault: a pause, or memory that ran out
                one = (task.locators[n_done],)
                self._queue.appendleft(replace(task, first=at, locators=one, again=True))
        if task.again:
            self._returned(worker, (at, "decode", f"{reason} ({_ended(code)})"))


def _context() -> Any:
    """Return how processes start: on Linux forked from this one, elsewhere anew.

    A forked process shares all that is loaded here, compiled kernels too: 7 MB of its own instead
    of 130 for a server and its children, and no second to start (measured). That is safe for what
    it does: it runs no torch, no polars and compiles nothing, so it needs no lock that another
    thread of ours may have held.
    """
    import embedstore.encode.warm  # noqa: F401  compiled before the fork, not after it

    return mp.get_context("fork" if sys.platform == "linux" else "spawn")


def _ended(code: int | None) -> str:
    if code is None:
        return "killed"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
