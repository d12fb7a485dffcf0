"""Model hubs that may be out of reach, and libraries that talk too much."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from embedstore.errors import ModelError

#: Seconds that the hub has to answer at all before its cache is used instead.
PATIENCE = 5.0


@contextmanager
def cache_if_unreachable(needed: bool = True) -> Iterator[None]:
    """Let downloads within fall back on the hub's local cache at once if the hub does not answer.

    Its client would try each file six times, 23 seconds a file, before it looks there. Where the
    hub is not `needed`, it is not asked.
    """
    if not needed:
        yield
        return
    from huggingface_hub import constants

    online = not constants.HF_HUB_OFFLINE
    if online and not _hub_answers():
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = not online


def _hub_answers() -> bool:
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # noqa: BLE001  (the client's errors differ between its versions)
        return False
    return True


@contextmanager
def quiet_root_logger() -> Iterator[None]:
    """Drop what the root logger gets within; open_clip logs there, and installs a handler."""
    root, handler = logging.getLogger(), logging.NullHandler()

    def drop(record: logging.LogRecord) -> bool:  # noqa: ARG001
        return False

    root.addHandler(handler)
    root.addFilter(drop)
    try:
        yield
    finally:
        root.removeFilter(drop)
        root.removeHandler(handler)


def unreachable(what: str, error: BaseException, local_forms: str) -> ModelError:
    """Return the error for something a hub did not give: one line, with the local forms."""
    reason = brief(error)
    return ModelError(
        f"{what} cannot be fetched ({reason}); connect, or give it locally: {local_forms}"
    )


def brief(error: BaseException, limit: int = 160) -> str:
    """Return an error's text on one line, cut to `limit` characters, or its type if it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
