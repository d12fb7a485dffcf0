"""One thread that writes while the model computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Writer:
    """Runs what it is given, in order. At most one piece waits: memory stays flat."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="writer", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], None]) -> None:
        """Have `work` done; waits while another piece waits. Raises what earlier work raised."""
        if self._error:
            raise self._error
        self._queue.put(work)

    def close(self) -> None:
        """Wait until all is done; raise what went wrong."""
        self._queue.put(None)
        self._thread.join()
        if self._error:
            raise self._error

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            if self._error:
                continue  # drain, so that nobody waits for ever
            try:
                work()
            except BaseException as error:  # noqa: BLE001  raised again where the caller waits
                self._error = error
