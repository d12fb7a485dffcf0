"""Files beside the pictures: text, tables, JSON, JSON lines; gzip alike; and what is wrong."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from io import StringIO
from pathlib import Path
from typing import Any

from embedstore.errors import DatasetError


def text_of(path: Path) -> str:
    """Return a file's text, from UTF-8."""
    try:
        data = path.expanduser().read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "its gzip is damaged or cut short"
        raise DatasetError(f"cannot read {path}: {reason}; check the path") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def json_of(path: Path) -> Any:
    """Return a file's JSON value."""
    try:
        return json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path} is no JSON: {error.msg} in line {error.lineno}; get the file again"
        ) from error


def json_lines_of(path: Path) -> list[dict[str, Any]]:
    """Return an object a line."""
    rows = []
    # not splitlines: a caption may hold Unicode's own line separators
    lines = enumerate(text_of(path).split("\n"), start=1)
    for number, line in ((number, line) for number, line in lines if line.strip()):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise DatasetError(
                f"{path} is no JSON lines: {error.msg} in line {number}; get the file again"
            ) from error
    if not all(isinstance(row, dict) for row in rows):
        raise refuse_malformed(path, "a JSON object a line")
    return rows


def csv_of(path: Path) -> list[dict[str, str]]:
    """Return a row a line, by the column names of the first."""
    return list(csv.DictReader(StringIO(text_of(path), newline="")))


def refuse_malformed(path: Path, expected: str) -> DatasetError:
    """Return the error of a file that holds something else."""
    return DatasetError(f"{path} does not hold {expected}; get the file again, or name another")
