"""Pictures inside Parquet files, as Hugging Face lays them out: bytes, label, captions."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from embedstore.datasets import access
from embedstore.datasets.classes import classes_file
from embedstore.datasets.columns import of_series
from embedstore.datasets.description import IDS, described
from embedstore.datasets.folder import sample_ids
from embedstore.datasets.parquet_files import opened
from embedstore.datasets.parquet_index import OWN, parquet_index
from embedstore.datasets.readers import Reader, unreadable
from embedstore.datasets.sources import Listing, Source, source_kind
from embedstore.errors import DatasetError, PictureError

#: Columns that are ids where all their values differ.
MAYBE_IDS = ("image_id", "id")
LABELS = ("label", "labels", "cls")


@source_kind("parquet")
class ParquetSource(Source):
    """`parquet:PATTERN`: files whose column `image` holds bytes, or a struct of bytes and path.

    An integer `label` is named by Hugging Face's own record of classes, or by `classes.txt`. Ids
    are those of a column `sample_id`, `image_id` or `id`, else the pictures' paths without endings,
    else file and row. Order is that of the files and their rows, since a row can only be had with
    its row group: rows in the order of their paths are the same data set as the folder of them.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.root = access.folder_of(location)
        self.spec = f"parquet:{location}"

    def reader(self) -> Reader:
        """Return a reader of rows."""
        return ParquetReader(self.root)

    def listing(self) -> Listing:
        """List the rows of all files."""
        rows, classes = self._rows()
        rows = self._with_ids(rows)
        column = next((c for c in (*LABELS, *classes) if c in rows.columns), None)
        own = [c for c in rows.columns if c.startswith(OWN)]
        table = rows.drop(*own, *IDS, strict=False)
        if column in classes:  # Hugging Face writes -1 where there is none
            table = table.with_columns(pl.col(column).replace(-1, None))
        names = classes.get(column or "") or classes_file(self.root)
        found = described(table, self.location, names, column)
        return Listing(
            sample_ids=of_series(rows[f"{OWN}id"]),
            paths=of_series(rows[f"{OWN}locator"]),
            labels=of_series(found.labels),
            n_bytes=of_series(rows[f"{OWN}n_bytes"]),
            changed=of_series(rows[f"{OWN}changed"]),
            classes=found.classes,
            notices=found.notices,
            annotations=found.annotations,
            captions=found.captions,
        )

    def _rows(self) -> tuple[pl.DataFrame, dict[str, list[str]]]:
        """Return a row a picture, without its bytes, and names of classes by column."""
        paths = access.expanded(self.location)
        if not paths:
            raise DatasetError(f"no file matches {self.location}; check the pattern")
        found = [parquet_index(path) for path in paths]
        names = [access.relative(self.root, path) for path in paths]
        try:
            rows = _stacked([_located(rows, n) for (rows, _), n in zip(found, names, strict=True)])
        except pl.exceptions.PolarsError as error:
            raise DatasetError(
                f"the files of {self.location} differ in their columns; name those of one split"
            ) from error
        classes = found[0][1]
        for path, (_, others) in zip(paths, found, strict=True):
            if others != classes:
                raise DatasetError(
                    f"{path} names other classes than {paths[0]}; name the files of one data set"
                )
        if rows.is_empty():
            raise DatasetError(f"{self.location} holds no rows; check the pattern")
        return rows, classes

    def _with_ids(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with their ids: a column's, else the paths', else the rows'."""
        single = [c for c, kind in rows.schema.items() if not kind.is_nested()]
        columns = [c for c in MAYBE_IDS if c in single and _tells_apart(rows[c])]
        columns = [*(c for c in IDS if c in single), *columns]
        own_id = f"{OWN}id"
        if columns:
            ids = rows[columns[0]].cast(pl.String)
            _refuse_repeats(ids, rows[f"{OWN}locator"], self.location)
            return rows.with_columns(ids.alias(own_id))
        path = f"{OWN}path"
        if path not in rows.columns or not _tells_apart(rows[path]) or (rows[path] == "").any():
            return rows.with_columns(pl.col(f"{OWN}stem").alias(own_id))
        return rows.with_columns(pl.Series(own_id, sample_ids(rows[path].to_list())))


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Reads pictures of Parquet files below a folder; a locator is `FILE@ROW`."""

    root: str

    def __call__(self, locator: str) -> bytes:
        """Return the row's bytes."""
        from pyarrow import ArrowException

        name, _, row = locator.rpartition("@")
        path = access.joined(self.root, name)
        try:
            data = opened(path).picture(int(row))
        except (OSError, ArrowException, ValueError, DatasetError) as error:
            if isinstance(error, OSError) and error.strerror:
                raise unreadable(error) from error
            reason = str(error).strip().split("\n")[0]  # Arrow's, of damaged bytes
            raise PictureError("read", f"{name}: {reason}") from error
        if data is None:
            raise PictureError("read", "null in place of a picture")
        return data


def _stacked(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of all files, whose columns may come in any order."""
    columns = frames[0].columns
    frames = [f.select(columns) if set(f.columns) == set(columns) else f for f in frames]
    return pl.concat(frames, how="vertical_relaxed")


def _located(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return the rows of a file with their locators, and what may be their ids."""
    row, width = pl.col(f"{OWN}row").cast(pl.String), len(str(rows.height))
    locator = pl.lit(f"{name}@") + row
    stem = pl.lit(f"{name.removesuffix('.parquet')}/") + row.str.zfill(width)
    return rows.with_columns(locator.alias(f"{OWN}locator"), stem.alias(f"{OWN}stem"))


def _tells_apart(values: pl.Series) -> bool:
    return not values.has_nulls() and values.n_unique() == len(values)


def _refuse_repeats(ids: pl.Series, locators: pl.Series, where: str) -> None:
    wrong = ids.is_null() | ids.is_duplicated()
    if wrong.any():
        first = ids.filter(wrong)[0]
        places = locators.filter(ids.eq_missing(pl.Series([first], dtype=pl.String)))
        raise DatasetError(
            f"{ids.name} {first!r} of {where} is that of {' and of '.join(places[:2])}; give each "
            "row its own"
        )
