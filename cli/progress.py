"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.text_tables import n_bytes
from embedstore.encode.progress import Progress

#: Seconds between plain lines.
INTERVAL = 10.0


class Lines(Progress):
    """Plain lines, one at the beginning, one every few seconds, one at the end of a stage."""

    def __init__(self) -> None:
        self._stage, self._unit = "", ""
        self._total = self._done = self._first = self._bytes = 0
        self._began = self._said = 0.0

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        """Begin a stage."""
        self._stage, self._unit, self._total = stage, unit, total
        self._done = self._first = done
        self._bytes = 0
        self._began = self._said = time.monotonic()
        if done:
            self.notice(f"{stage}: {done} of {total} {unit} are there already")

    def advance(self, n: int, n_bytes: int = 0) -> None:
        """Say how far it is, now and then."""
        self._done += n
        self._bytes += n_bytes
        if time.monotonic() - self._said >= INTERVAL:
            self._said = time.monotonic()
            self.notice(self._line())

    def end(self) -> None:
        """Say how it went, if there was anything to do."""
        if self._done > self._first:
            self.notice(self._line())

    def notice(self, text: str) -> None:
        """Print a line to standard error."""
        print(text, file=sys.stderr, flush=True)

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (self._done - self._first) / seconds
        left = (self._total - self._done) / rate if rate else 0.0
        line = f"{self._stage}: {self._done}/{self._total} {self._unit}, {rate:.1f}/s"
        if self._bytes:
            line += f", {n_bytes(self._bytes)} read"
        return line + (f", {duration(left)} left" if left else f", in {duration(seconds)}")


class Bars(Progress):
    """A bar for the stage under way."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bars.add_task("", total=None, rate="", visible=False)
        self._began, self._n, self._bytes, self._unit = 0.0, 0, 0, ""

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        """Show the stage's bar."""
        self._began, self._n, self._bytes, self._unit = time.monotonic(), 0, 0, unit
        self._task = self._bars.add_task(stage, total=total, completed=done, rate="")
        self._bars.start()

    def advance(self, n: int, n_bytes: int = 0) -> None:
        """Move the bar."""
        self._n += n
        self._bytes += n_bytes
        self._bars.update(self._task, advance=n, rate=self._rate())

    def end(self) -> None:
        """Leave the finished bar standing, if there was anything to do."""
        if self._n == 0:
            self._bars.update(self._task, visible=False)
        self._bars.stop()
        self._bars.remove_task(self._task)

    def close(self) -> None:
        """Take the terminal back, also in the middle of a stage: cursor and lines as they were."""
        self._bars.stop()

    def notice(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        text = f"{self._n / seconds:.1f} {self._unit}/s"
        return text + (f" {n_bytes(self._bytes)}" if self._bytes else "")


@contextmanager
def progress() -> Iterator[Progress]:
    """Give bars on a terminal, plain lines elsewhere; whatever ends the work ends the bar too."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    bars = Bars()
    try:
        yield bars
    finally:
        bars.close()


@contextmanager
def meter(stage: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show the progress of some bytes, on a terminal alone."""
    if not sys.stderr.isatty():
        yield lambda _n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(stage, total=total)
        yield lambda n: bars.advance(task, n)


def duration(seconds: float) -> str:
    """Write a time span as a person would."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
