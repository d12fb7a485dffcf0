"""Records notice every flipped bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import DamagedError
from embedstore.store.records import digest_of_record, read_record, write_record

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text().filter(lambda k: k != "digest"), VALUES, max_size=4))
def test_round_trip(record):
    data = write_record(record)
    assert read_record(data, "x") == record
    assert digest_of_record(record) in data.decode("utf-8", "surrogatepass")


def test_every_single_bit_flip_is_found():
    data = write_record({"name": "ViT-B/32", "rows": [0, 15], "scale": 1.5, "note": "größer"})
    for i in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[i // 8] ^= 1 << (i % 8)
        with pytest.raises(DamagedError, match="where.json is damaged"):
            read_record(bytes(flipped), "where.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b'{"format": 1}', b"\xff\xfe"])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(DamagedError):
        read_record(data, "x")
