"""Which layout a store has, and whether this version reads it."""

from __future__ import annotations

from embedstore import schema
from embedstore.errors import StoreError
from embedstore.store import layout
from embedstore.store.files import LocalFiles
from embedstore.store.records import read_record


def check_format(files: LocalFiles) -> None:
    """Refuse a store of a newer format than this version knows.

    Raises
    ------
    StoreError
        If the format is newer.
    DamagedError
        If the store's record is not whole.
    """
    record = read_record(files.read(layout.STORE), f"{files.root}/{layout.STORE}")
    if record["format"] > schema.FORMAT:
        raise StoreError(
            f"the store {files.root} has format {record['format']}, newer than {schema.FORMAT}, "
            "which this embedstore reads; update it: pip install --upgrade embedstore"
        )
