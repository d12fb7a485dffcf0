"""Tables that list pictures: `csv:FILE` and `jsonl:FILE`, one row a picture or a caption.

Dimensions: N pictures.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from embedstore.datasets import access
from embedstore.datasets.classes import classes_file
from embedstore.datasets.columns import of_series
from embedstore.datasets.description import IDS, LABELS, NAMES, caption_sets, described
from embedstore.datasets.folder import sample_ids
from embedstore.datasets.readers import FolderReader, Reader, cannot_read
from embedstore.datasets.sources import Listing, Source, source_kind
from embedstore.errors import DatasetError

#: Columns that may say where a picture is, the first that is there.
PATHS = ("path", "file", "filename", "file_name", "image", "filepath")
#: Files asked for at once: remote ones take their time.
ASKED = 16


class ManifestSource(Source):
    """A table of pictures, whose paths are relative to it.

    Columns: `path` (or `file`, `filename`, `file_name`, `image`, `filepath`); `label`, a number, a
    name or a WordNet id, with the name of its class in `class_name`; `caption`, or `caption_de` for
    another language; `sample_id`; all others describe the pictures. A picture may stand in several
    rows that differ in their captions alone. Order is that of the paths, part by part. Absolute
    paths, `..` and URLs are followed: a manifest is its user's own. `.gz` is unpacked.
    """

    kind: str

    def __init__(self, location: str) -> None:
        self.path = access.local_path(location)
        self.root = self.path.rpartition("/")[0] or ("/" if self.path.startswith("/") else "")
        self.spec = f"{self.kind}:{location}"

    @abstractmethod
    def table(self, data: bytes) -> pl.DataFrame:
        """Return the manifest's rows."""

    def reader(self) -> Reader:
        """Return a reader of files beside the manifest."""
        return FolderReader(self.root)

    def listing(self) -> Listing:
        """List the pictures of the manifest."""
        table = self._table()
        column = next((c for c in PATHS if c in table.columns), None)
        if column is None:
            raise DatasetError(
                f"{self.path} has the columns {', '.join(map(repr, table.columns))}; one of them "
                f"must be the pictures' paths: name it 'path'"
            )
        table = self._in_order(table.rename({column: "path"}))
        paths = table["path"].to_list()
        ids = self._ids(table, paths)
        n_bytes, changed, notices = self._files(paths)
        rest = table.drop("path", *IDS, strict=False)
        found = described(rest, self.path, classes_file(self.root))
        return Listing(
            sample_ids=ids,
            paths=paths,
            labels=of_series(found.labels),
            n_bytes=n_bytes,
            changed=changed,
            classes=found.classes,
            notices=[*notices, *found.notices],
            annotations=found.annotations,
            captions=found.captions,
        )

    def _table(self) -> pl.DataFrame:
        try:
            data = access.read(self.path)
            if self.path.endswith(".gz"):
                data = gzip.decompress(data)
            table = self.table(data.removeprefix(b"\xef\xbb\xbf"))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DatasetError(f"{self.path} is damaged gzip: {error}; fetch it again") from error
        except OSError as error:
            raise cannot_read(self.path, error) from error
        except (pl.exceptions.PolarsError, csv.Error) as error:
            reason = str(error).strip().split("\n")[0]
            raise DatasetError(
                f"{self.path} cannot be read as {self.kind}: {reason}; mend it there"
            ) from error
        if table.is_empty():
            raise DatasetError(f"{self.path} lists no pictures; write a line for each")
        return table

    def _in_order(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return one row a picture, in the order of the paths."""
        table = table.with_columns(pl.col("path").cast(pl.String))
        empty = table["path"].fill_null("").str.strip_chars() == ""
        if empty.any():
            raise DatasetError(
                f"row {empty.arg_true()[0] + 1} of {self.path} names no picture; fill it in, or "
                "take it out"
            )
        if table["path"].is_duplicated().any():
            table = _merged(table, self.path)
        return table.sort(pl.col("path").str.replace_all("/", "\0", literal=True))

    def _ids(self, table: pl.DataFrame, paths: list[str]) -> list[str]:
        column = next((c for c in IDS if c in table.columns), None)
        if column is None:
            return sample_ids(paths)
        ids = table[column].cast(pl.String)
        if ids.null_count():
            raise DatasetError(
                f"{paths[ids.is_null().arg_true()[0]]} has no {column} in {self.path}; give it one"
            )
        repeated = [i for i, n in Counter(ids).items() if n > 1]
        if repeated:
            first, second = [p for p, i in zip(paths, ids, strict=True) if i == repeated[0]][:2]
            raise DatasetError(
                f"{column} {repeated[0]!r} stands for {first} and for {second} in {self.path}; "
                "give each its own"
            )
        return ids.to_list()

    def _files(self, paths: list[str]) -> tuple[list[int], list[int], list[str]]:
        """Return (N,) bytes and times of change, 0 for a file that is missing, and notices."""
        whole = [access.joined(self.root, path) for path in paths]
        facts = list(_facts(whole))
        missing = [path for path, fact in zip(whole, facts, strict=True) if fact is None]
        if len(missing) == len(paths):
            raise DatasetError(
                f"none of the {len(paths)} pictures of {self.path} is there, such as {missing[0]}; "
                "paths count from the folder of the manifest"
            )
        notices = []
        if missing:
            notices.append(
                f"{len(missing)} of {len(paths)} pictures of {self.path} are missing, such as "
                f"{missing[0]}"
            )
        return [f[0] if f else 0 for f in facts], [f[1] if f else 0 for f in facts], notices


@source_kind("csv")
class CsvSource(ManifestSource):
    """`csv:FILE`: a manifest of values between commas, its first line the names of columns."""

    kind = "csv"

    def table(self, data: bytes) -> pl.DataFrame:
        """Return the rows; paths, ids, labels and captions are texts, so that 007 stays 007."""
        try:
            first = data.partition(b"\n")[0].decode()
        except UnicodeDecodeError as error:
            raise DatasetError(f"{self.path} is not UTF-8; save it as UTF-8") from error
        names = [name.strip() for name in next(csv.reader([first]), [])]
        repeated = [name for name, n in Counter(names).items() if n > 1]
        if repeated:
            raise DatasetError(f"{self.path} has two columns {repeated[0]!r}; rename one")
        texts = {*PATHS, *IDS, *LABELS, *NAMES, *caption_sets(names)}
        return pl.read_csv(
            data,
            new_columns=names,
            schema_overrides={name: pl.String for name in names if name in texts},
            infer_schema_length=None,
        )


@source_kind("jsonl")
class JsonLinesSource(ManifestSource):
    """`jsonl:FILE`: a manifest of one JSON object a line."""

    kind = "jsonl"

    def table(self, data: bytes) -> pl.DataFrame:
        """Return the rows."""
        table = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
        for column in caption_sets(table.columns):
            if table[column].dtype == pl.String and table[column].str.starts_with("[").any():
                self._refuse_lists_as_texts(data, column)
        return table

    def _refuse_lists_as_texts(self, data: bytes, column: str) -> None:
        """Refuse lists that Polars has made texts of, since other lines have texts."""
        for number, line in enumerate(data.split(b"\n"), start=1):
            if line.strip() and isinstance(json.loads(line).get(column), list):
                raise DatasetError(
                    f"line {number} of {self.path} has a list in {column!r} where others have a "
                    "text; write lists of texts in all of them"
                )


def _merged(table: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return one row a path, with the captions of all its rows."""
    captions = list(caption_sets(table.columns))
    others = [c for c in table.columns if c not in captions and c != "path"]
    groups = table.group_by("path", maintain_order=True)
    if captions:
        differing = groups.agg(pl.col(others).n_unique() > 1)
        columns = [c for c in others if differing[c].any()]
    else:
        differing, columns = table.filter(pl.col("path").is_duplicated()), ["path"]
    if columns:
        row = differing.filter(pl.col(columns[0])) if captions else differing
        apart = f"with different {columns[0]!r}" if captions else "without captions to tell apart"
        raise DatasetError(
            f"{row['path'][0]} stands twice in {where} {apart}; keep one row, or one a caption"
        )
    lists = [
        pl.col(c).drop_nulls() if table[c].dtype != pl.List else pl.col(c).explode().drop_nulls()
        for c in captions
    ]
    return groups.agg(pl.col(others).first(), *lists)


def _facts(paths: list[str]) -> Iterable[tuple[int, int] | None]:
    if not any(map(access.is_remote, paths)):
        return map(_fact, paths)
    with ThreadPoolExecutor(ASKED) as pool:
        return list(pool.map(_fact, paths))


def _fact(path: str) -> tuple[int, int] | None:
    try:
        return access.size_and_change(path)
    except OSError:
        return None


__all__ = ["CsvSource", "JsonLinesSource", "ManifestSource"]
