"""JSON records that carry their own digest, so that any flipped bit shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from embedstore.errors import DamagedError

Record = dict[str, Any]


def write_record(record: Mapping[str, Any]) -> bytes:
    """Return the record as canonical JSON (sorted keys, one-space indent) with a `digest` added."""
    body = _canonical(dict(record))
    return _canonical({**record, "digest": sha256(body).hexdigest()})


def read_record(data: bytes, where: str) -> Record:
    """Return the record without its digest.

    Raises
    ------
    DamagedError
        If the bytes are not, bit for bit, what :func:`write_record` makes of the record.
    """
    try:
        record = json.loads(data)
        record.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _damaged(where) from error
    if write_record(record) != data:
        raise _damaged(where)
    return dict(record)


def digest_of_record(record: Mapping[str, Any]) -> str:
    """Return the digest that the record would carry."""
    return sha256(_canonical(dict(record))).hexdigest()


def _canonical(record: Record) -> bytes:
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "surrogatepass")


def _damaged(where: str) -> DamagedError:
    return DamagedError(
        f"{where} is damaged: its digest does not match; see what else is with: embedstore verify"
    )
