"""Reading one picture: light enough for every decoding process to import."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from embedstore.errors import PictureError


class Reader(Protocol):
    """Reads one picture; small enough to be sent to every decoding process."""

    def __call__(self, locator: str) -> bytes:
        """Return the picture's bytes; :class:`PictureError` if they cannot be read."""


@dataclass(frozen=True, slots=True)
class FolderReader:
    """Reads files below a folder."""

    root: str

    def __call__(self, locator: str) -> bytes:
        """Return the file's bytes."""
        try:
            with open(os.path.join(self.root, locator), "rb") as file:  # noqa: PTH118, PTH123
                return file.read()
        except OSError as error:
            raise PictureError("read", error.strerror or str(error)) from error
