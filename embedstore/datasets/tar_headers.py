"""The headers of a tar archive, one walk from the first to the last, no member's data but names'.

ustar, GNU (long names, sizes beyond 8 GiB) and pax (path, size). It knows members, not pictures.
Compressed archives are refused: an offset in one leads nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from embedstore.errors import DatasetError

BLOCK = 512
ZEROS = bytes(BLOCK)
FILES = b"0\x007"  # an ordinary file, one of before POSIX, a contiguous one
FOLDER = ord("5")
SPARSE = ord("S")
#: Headers that describe the member after them.
PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK = b"xgLK"
#: First bytes of compressed files, and what unpacks them.
COMPRESSED = {
    b"\x1f\x8b": "gzip -d",
    b"BZh": "bzip2 -d",
    b"\xfd7zXZ": "xz -d",
    b"\x28\xb5\x2f\xfd": "zstd -d",
}
#: Longest name or pax header that is read, bytes.
LONGEST = 1 << 20
#: Most digits of a number in a pax header: Python refuses to convert thousands.
DIGITS = 20


@dataclass(slots=True)
class Walk:
    """A walk through an archive, with what must be known where it breaks off."""

    path: str  # for messages
    file: BinaryIO
    n_bytes: int  # of the archive
    last: str = ""  # the last member known to be whole

    def members(self) -> Iterator[tuple[str, int, int, int]]:
        """Yield (name, type, offset of the data, bytes) of each member.

        Raises
        ------
        DatasetError
            If the archive is compressed, is none, is damaged or cut short, or a member's name is
            absolute, holds `..`, or is not UTF-8.
        """
        at = 0
        renamed: dict[str, str] = {}
        while (header := self._header(at)) != ZEROS:
            kind = header[156]
            n_bytes = _number(header, 124, 136)
            start = at + BLOCK
            if kind in (PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK):
                data = self._short(start, n_bytes)
                if kind == PAX:
                    renamed |= self._pax(data)
                elif kind == LONG_NAME:
                    renamed["path"] = self._text(data.partition(b"\0")[0])
            else:
                name = renamed.get("path") or self._name(header)
                n_bytes = int(renamed.get("size", n_bytes))
                if kind == SPARSE or any(key.startswith("GNU.sparse") for key in renamed):
                    raise DatasetError(
                        f"member {name!r} of {self.path} is sparse; pack it without --sparse"
                    )
                renamed = {}
                n_bytes = n_bytes if kind in FILES or kind > ord("6") else 0
                if start + n_bytes > self.n_bytes:
                    raise self._cut()
                self._refuse_outside(name)
                folder = kind in FILES and name.endswith("/")  # how it was written before POSIX
                yield name, FOLDER if folder else kind, start, n_bytes
                self.last = name
            at = start + -(-n_bytes // BLOCK) * BLOCK

    def _header(self, at: int) -> bytes:
        self.file.seek(at)
        header = self.file.read(BLOCK)
        if at == 0:
            self._refuse_compressed(header)
        if len(header) < BLOCK:
            raise self._cut()
        if header != ZEROS and sum(header) - sum(header[148:156]) + 256 != _number(
            header, 148, 156
        ):
            if not at:
                raise DatasetError(f"{self.path} is no tar archive; check the path")
            raise DatasetError(
                f"{self.path} is damaged at byte {at:,} after member {self.last!r}; fetch it again"
            )
        return header

    def _refuse_compressed(self, header: bytes) -> None:
        for magic, command in COMPRESSED.items():
            if header.startswith(magic):
                raise DatasetError(
                    f"{self.path} is compressed, which allows no random access; unpack it to a "
                    f"plain tar first: {command}"
                )

    def _cut(self) -> DatasetError:
        whole = f"its last whole member is {self.last!r}" if self.last else "no member is whole"
        return DatasetError(
            f"{self.path} is cut short at {self.n_bytes:,} bytes: {whole}; fetch it again"
        )

    def _short(self, start: int, n_bytes: int) -> bytes:
        if n_bytes > LONGEST:
            raise DatasetError(f"{self.path} is damaged at byte {start:,}; fetch it again")
        data = self.file.read(n_bytes)
        if len(data) < n_bytes:
            raise self._cut()
        return data

    def _name(self, header: bytes) -> str:
        name = header[:100].partition(b"\0")[0]
        # GNU's own format, of magic "ustar  ", has times where POSIX has the name's beginning
        if header[345] and header[257:263] == b"ustar\0":
            name = header[345:500].partition(b"\0")[0] + b"/" + name
        return self._text(name)

    def _text(self, name: bytes) -> str:
        try:
            return name.decode()
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"the name of member {name!r} in {self.path} is not UTF-8; pack it with another"
            ) from error

    def _pax(self, data: bytes) -> dict[str, str]:
        """Return the records, each `LENGTH KEY=VALUE\\n`, of a file's name and size."""
        records = {}
        while data:
            length, _, rest = data.partition(b" ")
            if not _is_number(length) or not len(length) < int(length) <= len(data):
                raise DatasetError(
                    f"a pax header after {self.last!r} in {self.path} is damaged; fetch it again"
                )
            key, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
            if key in (b"path", b"size") or key.startswith(b"GNU.sparse"):
                records[key.decode("ascii", "replace")] = self._text(value)
            data = data[int(length) :]
        if not _is_number(records.get("size", "0").encode()):
            raise DatasetError(
                f"the size of the member after {self.last!r} in {self.path} is no number; fetch it "
                "again"
            )
        return records

    def _refuse_outside(self, name: str) -> None:
        if name.startswith("/") or (".." in name and ".." in name.split("/")):
            raise DatasetError(
                f"member {name!r} of {self.path} points out of the archive, which no data set "
                "needs; do not trust it, or pack it again with relative paths"
            )


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= DIGITS


def _number(header: bytes, start: int, stop: int) -> int:
    """Return an octal field, or a binary one, which a set first bit marks."""
    field = header[start:stop]
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else 0
