"""Rows of a file brought to the samples of a data set: by id, never by their order.

Dimensions: N samples, R rows of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from embedstore.datasets.endings import ENDINGS
from embedstore.errors import DatasetError

#: What the ids of samples are commonly called.
USUAL = ("sample_id", "file_name", "filename", "image", "imagename", "path", "file", "id")
#: Ids that a message names before it only counts.
NAMED = 3
_ENDING = rf"(?i)(?:{'|'.join(ending.replace('.', '[.]') for ending in sorted(ENDINGS))})$"


class RepeatedError(DatasetError):
    """Two rows of a file mean one sample; `what` is the message without its remedy."""

    def __init__(self, what: str, remedy: str = "keep one") -> None:
        self.what = what
        super().__init__(f"{what}; {remedy}")


@dataclass(frozen=True, slots=True)
class Match:
    """Which row of a file describes which sample."""

    rows: pl.Series  # (N,) row of the file; null where it says nothing of the sample
    rule: str  # how ids were compared
    unknown: pl.Series  # ids of the file that are no sample's
    missing: pl.Series  # ids of samples that the file does not have

    def gather(self, column: pl.Series) -> pl.Series:
        """Bring a column of the file into the samples' order: (R,) -> (N,)."""
        return column.gather(self.rows)

    def facts(self) -> dict[str, Any]:
        """What a record keeps of the match."""
        return {
            "ids_compared_by": self.rule,
            "n_rows_without_sample": len(self.unknown),
            "n_samples_without_row": len(self.missing),
        }

    def notices(self, where: str, dataset: str, absent: str = "null") -> list[str]:
        """Say what found no partner, what it becomes, and by which rule the rest did."""
        said = [f"ids are compared {self.rule}"] if self.rule != BY_ID else []
        if len(self.unknown):
            said.append(f"{named(self.unknown)} of {where} are no samples of {dataset}: left out")
        if len(self.missing):
            said.append(f"{named(self.missing)} samples of {dataset} are not in {where}: {absent}")
        return said


BY_ID = "by sample id"
BY_NAME = "by file name, without folders"


def named(ids: pl.Series) -> str:
    """Count ids and name the first few: `120 (a, b, c, ...)`."""
    first = ", ".join(ids.head(NAMED).to_list())
    return f"{len(ids):,} ({first}{', ...' if len(ids) > NAMED else ''})"


def without_ending(ids: pl.Series) -> pl.Series:
    """Take a picture's ending off each id, and a leading `./`: (R,) -> (R,)."""
    return ids.str.replace(_ENDING, "").str.replace(r"^(?:\./)+", "")


def sample_ids(paths: pl.Series) -> pl.Series:
    """Return paths without pictures' endings; where two would be equal, both keep theirs."""
    stems = without_ending(paths)
    clash = stems.is_duplicated() | (stems.is_in(paths.to_list()) & (stems != paths))
    return stems.zip_with(~clash, paths)


def checked_ids(ids: pl.Series, where: str) -> pl.Series:
    """Return `ids` if each is there, once.

    Raises
    ------
    DatasetError
        If one is empty or stands twice, by its rows.
    """
    empty = ids.is_null().arg_true()
    if len(empty):
        raise DatasetError(
            f"row {empty[0] + 1} of {where} has no id in column {ids.name!r}; give it one, or take "
            "it out"
        )
    refuse_repeats(ids, ids, where)
    return ids


def refuse_repeats(keys: pl.Series, ids: pl.Series, where: str) -> None:
    """Raise if two rows mean one sample: `keys` of the ids as the file writes them."""
    repeated = keys.is_duplicated().arg_true()
    if len(repeated):
        first = repeated[0]
        other = (keys == keys[first]).arg_true()[1]
        also = "" if ids[first] == ids[other] else f" (there as {ids[other]!r})"
        raise RepeatedError(
            f"id {ids[first]!r} stands twice in {where}, in rows {first + 1} and {other + 1}{also}"
        )


def match(ids: pl.Series, samples: Sequence[str] | pl.Series, where: str, dataset: str) -> Match:
    """Find each sample's row of a file.

    Ids are compared as they are and without a picture's ending; where more agree by the names of
    files alone, and these are unique among the samples, folders are passed over.

    Parameters
    ----------
    ids
        (R,) as the file writes them.
    samples
        (N,) ids of the data set.
    where, dataset
        What messages call the two.

    Raises
    ------
    DatasetError
        If an id is empty or stands twice, or none is a sample's.
    """
    ids, known = checked_ids(ids, where), pl.Series("key", samples)
    keys = ids.zip_with(ids.is_in(known.implode()), without_ending(ids))
    rule = BY_ID
    n_agreed = keys.is_in(known.implode()).sum()
    if n_agreed < len(known):
        names, known_names = _file_names(keys), without_ending(_file_names(known))
        unique = not known_names.is_duplicated().any()
        if unique and names.is_in(known_names.implode()).sum() > n_agreed:
            keys, known, rule = names, known_names, BY_NAME
    refuse_repeats(keys, ids, where)
    rows = pl.DataFrame({"key": keys}).with_row_index("row")
    found = pl.DataFrame({"key": known}).join(rows, on="key", how="left", maintain_order="left")
    lost = ~keys.is_in(known.implode())
    matched = Match(
        found["row"], rule, ids.filter(lost), pl.Series(samples).filter(found["row"].is_null())
    )
    if lost.all():
        raise DatasetError(
            f"no id of {where}, such as {ids[0]!r}, is a sample of data set {dataset!r}, such as "
            f"{pl.Series(samples)[0]!r}; name another column of ids, or another data set"
        )
    return matched


def by_order(n_rows: int, samples: pl.Series, order: str, where: str, dataset: str) -> Match:
    """Match a file without ids that claims to have its rows in some order of the samples.

    Parameters
    ----------
    n_rows
        R, which must be N.
    samples
        (N,) ids of the data set.
    order
        `sorted-ids`: of the sorted names of the samples' files; `as-samples`: of the store.
    where, dataset
        What messages call the two.
    """
    if n_rows != len(samples):
        raise DatasetError(
            f"{where} has {n_rows:,} rows and no ids, and data set {dataset!r} {len(samples):,} "
            "samples; a row each is needed, or a column of ids"
        )
    frame = pl.DataFrame({"name": _file_names(samples), "id": samples}).with_row_index("sample")
    if order == "sorted-ids":
        frame = frame.sort("name", "id")
    rows = frame.with_row_index("row").sort("sample")["row"]
    none = pl.Series([], dtype=pl.String)
    return Match(rows, f"by order of rows ({order}), as claimed", none, none)


def _file_names(ids: pl.Series) -> pl.Series:
    return ids.str.split("/").list.last()
