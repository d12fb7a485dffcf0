"""What a decoding process does. Imports no torch, so that a process stays light."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from embedstore.datasets.pictures import prepare
from embedstore.datasets.readers import Reader
from embedstore.errors import PictureError
from embedstore.transform import Transform

#: (index within the batch, stage, reason)
SlotFailure = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """Some pictures of a batch, to be prepared into rows of a slot."""

    slot: int
    first: int  # row of the slot that the first picture fills
    reader: Reader  # small, so that each task may bring its own
    locators: tuple[str, ...]
    again: bool = False  # a picture at which a process died or hung before


def work(
    connection: Connection,
    siblings: Sequence[Connection],
    transform: Transform,
    memory: Any,
    shape: tuple[int, ...],
) -> None:
    """Prepare pictures until the connection closes.

    A first message says that this process works. After each picture one follows, None or a
    failure, so that the parent knows, when this process dies or hangs, at which picture it did.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    for sibling in siblings:
        sibling.close()
    slots = np.frombuffer(memory, np.uint8).reshape(shape)
    try:
        connection.send(None)
        while True:
            task: Task = connection.recv()
            for i, locator in enumerate(task.locators, task.first):
                connection.send(_prepared(task.reader, locator, transform, slots[task.slot, i], i))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _prepared(
    reader: Reader, locator: str, transform: Transform, out: np.ndarray[Any, Any], index: int
) -> SlotFailure | None:
    try:
        prepare(reader(locator), transform, out=out)
    except PictureError as error:
        failure: SlotFailure | None = (index, error.stage, error.reason)
    except Exception as error:  # noqa: BLE001  hostile bytes may raise anything: one picture's fault
        failure = (index, "decode", f"{type(error).__name__}: {error}")
    else:
        return None
    out[:] = 0
    return failure
