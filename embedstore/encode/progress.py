"""What a long run tells of itself; the command line shows it, a program may ignore it."""

from __future__ import annotations


class Progress:
    """Receives what happens. This one is silent; subclass it to see."""

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        """Begin a stage of `total` units, `done` of which a former run did."""

    def advance(self, n: int, n_bytes: int = 0) -> None:
        """`n` more units of the stage are done; `n_bytes` were read for them."""

    def end(self) -> None:
        """End the stage."""

    def notice(self, text: str) -> None:
        """Say one line to the user."""
