"""Arrays that others wrote: .npy, .npz, safetensors. They are mapped into memory, never unpickled.

What is inside decides, not the file's ending. Knows arrays and their names, not what they mean.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import DatasetError

KINDS = ".npy, .npz or safetensors"
#: NumPy has no bfloat16; this says what the two bytes are, and :func:`widened` turns them to float.
BFLOAT16 = np.dtype([("bfloat16", "<u2")])
_SAFETENSORS: dict[str, Any] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
#: Rows after which pages are let go: of shuffled rows each may map megabytes around it (measured:
#: 400,000 x 512 at a peak of 380 MiB; of 512 rows 870, as fast).
_TAKEN = 32
_MAX_HEADER = 100_000_000  # bytes: what safetensors itself accepts


@dataclass(frozen=True, slots=True)
class Mapped:
    """An array in a file, mapped into memory, read-only."""

    array: npt.NDArray[Any]
    memory: mmap.mmap | None = None  # None: it is in memory

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Copy some rows, and let go of the pages they came from: memory stays flat."""
        if self.memory is None or not hasattr(mmap, "MADV_DONTNEED"):
            return self.array[rows]
        taken = np.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        for start in range(0, len(rows), _TAKEN):
            taken[start : start + _TAKEN] = self.array[rows[start : start + _TAKEN]]
            self.memory.madvise(mmap.MADV_DONTNEED)
        return taken


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """A file of arrays by name; the only one of a .npy file has none."""

    path: Path
    digest: str  # SHA-256 of the file, hexadecimal
    arrays: Mapping[str, Mapped]
    texts: Mapping[str, str] = field(default_factory=dict)  # what safetensors keeps beside tensors

    @property
    def origin(self) -> dict[str, str]:
        """What a record keeps of the file."""
        return {"file": self.path.name, "sha256": self.digest}

    def find(self, wanted: str | None, usual: Sequence[str], option: str) -> str | None:
        """Return the name of an array: the user's, else a usual one, else the only one there is.

        Raises
        ------
        DatasetError
            If the file has no array of the name that is wanted.
        """
        if wanted is not None and wanted not in self.arrays:
            raise DatasetError(
                f"{self.path} has no array {wanted!r}; name one with {option}: it has {self.names}"
            )
        if wanted is not None:
            return wanted
        only = next(iter(self.arrays)) if len(self.arrays) == 1 else None
        return next((name for name in usual if name in self.arrays), only)

    @property
    def names(self) -> str:
        """The arrays' names, for messages."""
        return ", ".join(name or "one without a name" for name in self.arrays)


def open_arrays(path: str | Path) -> ArrayFile:
    """Open a file of arrays, told by its content.

    Raises
    ------
    DatasetError
        If it cannot be read, is cut short, or is no such file: pickled ones are refused.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return _opened(path, digest, head)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def widened(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values as they are, bfloat16 as float32: the same numbers."""
    if values.dtype != BFLOAT16:
        return values
    return (values["bfloat16"].astype(np.uint32) << 16).view(np.float32)


def decoded(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return texts that are held as bytes as texts, from UTF-8; others as they are."""
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def one_text_a_row(path: Path, meant: str) -> tuple[str, npt.NDArray[Any]]:
    """Read a .npy of texts or whole numbers, such as ids or labels: its digest, (R,).

    Raises
    ------
    DatasetError
        If it holds anything else; `meant` says in words what is needed.
    """
    file = open_arrays(path)
    array = next(iter(file.arrays.values())).array
    if array.ndim != 1 or array.dtype.kind not in "iuUS":
        raise DatasetError(
            f"{path} holds {array.dtype} of shape {array.shape}; {meant} are one text or whole "
            "number for each row: write numpy.save(FILE, numpy.array(VALUES, dtype=str))"
        )
    return file.digest, decoded(np.array(array))


def map_array(
    file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: str = "C"
) -> Mapped:
    """Map the numbers that begin at `offset` of an open file, which may go once they are mapped."""
    count = math.prod(shape)
    if count == 0:
        return Mapped(np.empty(shape, dtype))
    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if offset + count * dtype.itemsize > len(memory):
        raise ValueError("it is cut short")
    values: npt.NDArray[Any] = np.frombuffer(memory, dtype, count, offset)
    reshaped = values.reshape(shape[::-1]).T if order == "F" else values.reshape(shape)
    return Mapped(reshaped, memory)


def _opened(path: Path, digest: str, head: bytes) -> ArrayFile:
    if head.startswith(b"\x93NUMPY"):
        return ArrayFile(path, digest, {"": _mapped_npy(path, path, 0)})
    if head.startswith(b"PK\x03\x04"):
        return ArrayFile(path, digest, _archived(path))
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length < min(path.stat().st_size, _MAX_HEADER):
        return _safetensors(path, digest, length)
    if head[:1] == b"\x80":  # a header of 128 bytes begins so too: safetensors comes first
        raise _pickled(path)
    what = "is empty" if not head else "holds no arrays"
    if head.lstrip()[:1] in (b"[", b"{"):
        what = "is JSON text, whose rows may differ in length"
    raise DatasetError(
        f"{path} {what}; write a rectangular array as {KINDS}, such as with numpy.save(FILE, "
        "array, allow_pickle=False)"
    )


def _mapped_npy(path: Path, where: Path, offset: int) -> Mapped:
    """Map the .npy that begins at `offset` of a file; `where` is what messages call it."""
    with path.open("rb") as file:
        file.seek(offset)
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of .npy, of arrays with fields")
        first = version == (1, 0)
        header = (
            np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise DatasetError(
                f"{where} holds pickled Python objects, which could run any code when opened (or "
                "rows of different lengths), so it is refused; write numbers of one type with "
                "numpy.save(FILE, array, allow_pickle=False)"
            )
        return map_array(file, file.tell(), shape, dtype, order="F" if fortran else "C")


def _archived(path: Path) -> dict[str, Mapped]:
    """Map the members of a .npz; compressed ones are unpacked to a temporary file first."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(m.filename.endswith(("data.pkl", ".pickle", ".pkl")) for m in members):
            raise _pickled(path)
        found = {}
        for member in (m for m in members if m.filename.endswith(".npy")):
            with tempfile.NamedTemporaryFile(prefix="embedstore-") as unpacked:
                place, offset = path, _data_offset(path, member)
                if member.compress_type != zipfile.ZIP_STORED:
                    with archive.open(member) as packed:
                        shutil.copyfileobj(packed, unpacked)
                    unpacked.flush()
                    place, offset = Path(unpacked.name), 0
                found[member.filename.removesuffix(".npy")] = _mapped_npy(place, path, offset)
    if not found:
        raise DatasetError(f"{path} is an archive without arrays; write arrays as {KINDS}")
    return found


def _data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin: after its local header of 30 bytes, name and extra."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        name, extra = file.read(2), file.read(2)
    lengths = int.from_bytes(name, "little") + int.from_bytes(extra, "little")
    return member.header_offset + 30 + lengths


def _safetensors(path: Path, digest: str, length: int) -> ArrayFile:
    """Map the tensors: a length, a JSON header of that length, then bytes at stated offsets."""
    with path.open("rb") as file:
        file.seek(8)
        header = json.loads(file.read(length))
        texts = header.pop("__metadata__", {})
        arrays = {}
        for name, entry in header.items():
            if entry["dtype"] not in _SAFETENSORS:
                raise ValueError(f"tensor {name!r} is of type {entry['dtype']}")
            dtype = np.dtype(_SAFETENSORS[entry["dtype"]])
            start, stop = entry["data_offsets"]
            shape = tuple(entry["shape"])
            if stop - start != math.prod(shape) * dtype.itemsize or start < 0:
                raise ValueError(f"tensor {name!r} has other bytes than its shape says")
            arrays[name] = map_array(file, 8 + length + start, shape, dtype)
    if not arrays:
        raise DatasetError(f"{path} has no tensors; write arrays as {KINDS}")
    return ArrayFile(path, digest, arrays, texts)


def _pickled(path: Path) -> DatasetError:
    return DatasetError(
        f"{path} is a pickled file, which could run any code when opened, so it is refused; write "
        "its arrays with safetensors.torch.save_file(state_dict, FILE) or numpy.save(FILE, array, "
        "allow_pickle=False)"
    )


def _unreadable(path: Path, error: BaseException) -> DatasetError:
    if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
        return DatasetError(f"cannot read {path} ({error.strerror}); check the path")
    said = " ".join(str(error).split()) or type(error).__name__
    return DatasetError(
        f"{path} cannot be read as arrays ({said}); it must be a whole file of {KINDS}"
    )
