"""Files of arrays: read as NumPy reads them, and refused where they are pickled or cut short."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.importers.arrays import open_arrays
from embedstore.importers.matrices import joined, read_matrix

X = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def write(path, kind: str, x: np.ndarray) -> None:
    if kind == "npy":
        np.save(path, x, allow_pickle=False)
    elif kind == "fortran":
        np.save(path, np.asfortranarray(x), allow_pickle=False)
    elif kind == "npz":
        np.savez(path, other=np.arange(2), embeddings=x)
    elif kind == "packed":
        np.savez_compressed(path, other=np.arange(2), embeddings=x)
    elif kind == "safetensors":
        save = pytest.importorskip("safetensors.numpy").save_file
        save({"other": np.arange(2), "embeddings": x}, path)
    else:
        dtype = pl.Array(pl.Float32, x.shape[1]) if kind == "arrays" else pl.List(pl.Float32)
        frame = pl.DataFrame({"id": [*map(str, range(len(x)))], "embedding": x.tolist()})
        frame.cast({"embedding": dtype}).write_parquet(path, row_group_size=3)


KINDS = ("npy", "fortran", "npz", "packed", "safetensors", "lists", "arrays")
ENDINGS = {"fortran": "npy", "packed": "npz", "lists": "parquet", "arrays": "parquet"}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_taken_in_any_order_from_any_kind_of_file(tmp_path, kind):
    path = tmp_path / f"x.{ENDINGS.get(kind, kind)}"
    write(path, kind, X)
    matrix = read_matrix(path, None, ("embeddings", "embedding"), "embeddings")
    assert matrix.shape == (7, 3)
    assert matrix.dtype == np.float32
    rows = np.array([6, -1, 0, 0, 3])
    expected = X[rows]
    expected[1] = np.nan
    np.testing.assert_array_equal(matrix.take(rows), expected)
    np.testing.assert_array_equal(matrix.take(np.arange(7)), X)  # after its pages were let go


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), data=st.data())
def test_parts_are_one_matrix(tmp_path, sizes, data):
    whole = np.arange(2 * sum(sizes), dtype=np.float64).reshape(-1, 2)
    parts = []
    for i, part in enumerate(np.split(whole, np.cumsum(sizes)[:-1])):
        np.save(tmp_path / f"{i}.npy", part.astype(np.float16 if i % 2 else np.float64))
        parts.append(read_matrix(tmp_path / f"{i}.npy", None, (), "embeddings"))
    rows = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9)), np.int64)
    np.testing.assert_array_equal(joined(tmp_path, parts).take(rows), whole[rows])


def test_bfloat16_is_the_upper_half_of_a_float(tmp_path):
    """The safetensors layout by hand: 1, -2 and 0.15625 in bfloat16, and one that is odd."""
    header = b'{"w":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}'
    bits = np.array([0x3F80, 0xC000, 0x3E20, 0x4049], "<u2")
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    taken = read_matrix(path, None, (), "embeddings").take(np.arange(2))
    np.testing.assert_array_equal(taken, np.array([[1, -2], [0.15625, 3.140625]], np.float32))


def test_a_missing_list_is_a_row_of_nan(tmp_path):
    frame = pl.DataFrame({"embedding": [[1.0, 2.0], None, [3.0, 4.0]]})
    frame.write_parquet(tmp_path / "x.parquet")
    taken = read_matrix(tmp_path / "x.parquet", None, ("embedding",), "e").take(np.arange(3))
    np.testing.assert_array_equal(taken, [[1, 2], [np.nan, np.nan], [3, 4]])


class Trap:
    """Says so if anybody unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("a pickled file was opened",))


def planted(path, fault: str) -> None:
    good = path.with_name("good")
    np.save(good.with_suffix(".npy"), X)
    if fault in ("pickle", "torch"):
        data = pickle.dumps(Trap())
        if fault == "pickle":
            path.write_bytes(data)
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("model/data.pkl", data)
    elif fault in ("objects", "ragged"):
        values = [Trap()] if fault == "objects" else [[1.0, 2.0], [3.0]]
        array = np.empty(len(values), object)
        array[:] = values
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=True)
    elif fault == "cut short":
        path.write_bytes(good.with_suffix(".npy").read_bytes()[:-5])
    elif fault == "json":
        path.write_text("[[1, 2], [3]]")
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "no arrays":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
    elif fault == "offsets":
        header = b'{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,8]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    elif fault == "header":
        header = b'{"w":{"dtype":"F32"}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("pickle", "could run any code.*refused.*safetensors.torch.save_file"),
        ("torch", "could run any code.*refused.*safetensors.torch.save_file"),
        ("objects", "pickled Python objects.*refused.*allow_pickle=False"),
        ("ragged", "rows of different lengths.*allow_pickle=False"),
        ("cut short", "cut short"),
        ("json", "JSON text, whose rows may differ in length"),
        ("empty", "is empty"),
        ("no arrays", "archive without arrays"),
        ("offsets", "other bytes than its shape"),
        ("header", "cannot be read as arrays"),
        ("missing", "check the path"),
    ],
)
def test_what_is_no_array_is_refused_in_a_line(tmp_path, fault, said):
    planted(tmp_path / "x", fault)
    with pytest.raises(EmbedStoreError, match=said) as raised:
        open_arrays(tmp_path / "x")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3), np.int64), "int64.*embedstore import predictions"),
        (np.zeros((2, 3), complex), "complex128"),
        (np.zeros(3, np.float32), r"shape \(3,\).*two dimensions"),
        (np.zeros((0, 3), np.float32), "two dimensions, a row for each"),
        (np.array([["a"]]), "<U1"),
    ],
)
def test_what_is_no_matrix_of_floats_is_refused(tmp_path, array, said):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(EmbedStoreError, match=said):
        read_matrix(tmp_path / "x.npy", None, (), "logits")


def test_a_list_of_another_length_is_named(tmp_path):
    pl.DataFrame({"e": [[1.0, 2.0], [1.0, 2.0], [1.0]]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(EmbedStoreError, match="row 3 .* list of 1 numbers, where others have 2"):
        read_matrix(tmp_path / "x.parquet", "e", (), "embeddings")


def test_one_of_several_arrays_must_be_named(tmp_path):
    np.savez(tmp_path / "x.npz", a=X, b=X + 1)
    with pytest.raises(EmbedStoreError, match="--array: it has a, b"):
        read_matrix(tmp_path / "x.npz", None, (), "embeddings")
    taken = read_matrix(tmp_path / "x.npz", "b", (), "embeddings").take(np.arange(7))
    np.testing.assert_array_equal(taken, X + 1)
