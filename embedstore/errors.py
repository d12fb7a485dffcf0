"""The one tree of errors. Each message says what was wrong and what to do, in one line."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable


class EmbedStoreError(Exception):
    """Something the user can mend; the command line prints it as one line and exits with 1."""


class UnknownNameError(EmbedStoreError):
    """A name that is not among those on offer."""

    def __init__(self, kind: str, name: str, choices: Iterable[str]) -> None:
        offered = ", ".join(sorted(choices)) or "none there"
        super().__init__(f"unknown {kind} {name!r}; choose one of: {offered}")


class InvalidNameError(EmbedStoreError):
    """A name that cannot be a folder of the store."""


class StoreError(EmbedStoreError):
    """The store cannot be used as it is: missing, of a newer format, read-only, in use."""


class DamagedError(StoreError):
    """Bytes in the store differ from the digests that were recorded when they were written."""


class IdentityError(EmbedStoreError):
    """A run that would mix what must not be mixed; the message names the field that differs."""


class DatasetError(EmbedStoreError):
    """A data set that cannot be read, or is not what it was."""


class PictureError(EmbedStoreError):
    """One picture that cannot be used; recorded as a failure, never the end of a run."""

    def __init__(self, stage: str, reason: str) -> None:
        self.stage, self.reason = stage, reason
        super().__init__(f"{stage}: {reason}")


class ModelError(EmbedStoreError):
    """A model that cannot be found, loaded or trusted."""


class NonFiniteError(EmbedStoreError):
    """NaN or infinity where a number belongs; the message names the row."""


class MissingExtraError(EmbedStoreError):
    """A package of an optional extra is not installed."""


def require(module: str, extra: str) -> None:
    """Raise :class:`MissingExtraError` naming the install line unless `module` can be imported."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(
            f"this needs the package {module!r}; install it with: pip install 'embedstore[{extra}]'"
        )
