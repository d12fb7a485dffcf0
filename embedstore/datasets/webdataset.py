"""Pictures in tar shards, read where they lie: no extraction, random access.

A sample's id is its member's path without the last ending, as a folder's is, so that a tree and
a tar of it give the same ids; the `webdataset` library ends its key at the first dot of the name,
which is the same wherever keys hold no dots.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from embedstore.datasets import access
from embedstore.datasets.classes import classes_file, named_classes
from embedstore.datasets.columns import SLICE, Column, of_series
from embedstore.datasets.description import LABELS, Description, caption_sets, described
from embedstore.datasets.endings import ENDINGS
from embedstore.datasets.readers import RangeReader, Reader, cannot_read
from embedstore.datasets.shards import Pictures, Shard, in_order, spoken, stem
from embedstore.datasets.sources import Listing, Source, source_kind
from embedstore.datasets.tar_index import tar_index
from embedstore.errors import DatasetError
from embedstore.prompts import ClassList

#: A column that keeps rows whose records are empty.
ROW = "embedstore.row"


@source_kind("webdataset")
class WebDatasetSource(Source):
    """`webdataset:PATTERN`: tar shards, such as `/data/in1k-{000000..000146}.tar` or `*.tar`.

    Order is that of the members' paths, part by part, over all shards. Files that differ in their
    ending alone are one sample: a picture, its class (`.cls`: a number or a name), its record
    (`.json`: label, captions, annotations), its caption (`.txt`). Without classes there, topmost
    folders are classes, as in a folder. `classes.txt` beside the shards names numbered classes.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.root = access.folder_of(location)
        self.spec = f"webdataset:{location}"

    def reader(self) -> Reader:
        """Return a reader of the shards' byte ranges."""
        return RangeReader(self.root)

    def listing(self) -> Listing:
        """List the pictures of all shards, from their indexes."""
        shards = self._shards()
        pictures = in_order(shards)
        if not len(pictures.rows):
            raise DatasetError(
                f"no pictures in {self.location}: no member ends in {', '.join(sorted(ENDINGS))}"
            )
        notices = _passed_over(shards)
        found = self._described(pictures)
        classes = found.classes if found else None
        labels: Sequence[int | None] = of_series(found.labels) if found else ()
        if classes is None:
            pictures, labels, classes, more = _by_folder(pictures, self.location)
            found = found and self._described(pictures)
            notices += more
        return Listing(
            sample_ids=pictures.sample_ids(),
            paths=pictures.column(_locator),
            labels=labels,
            n_bytes=pictures.column(lambda shard, row: int(shard.index.sizes[row])),
            changed=pictures.column(lambda shard, _row: shard.changed),
            classes=classes,
            notices=[*notices, *(found.notices if found else ())],
            annotations=found.annotations if found else None,
            captions=found.captions if found else {},
        )

    def _shards(self) -> list[Shard]:
        paths = access.expanded(self.location)
        if not paths:
            raise DatasetError(f"no shard matches {self.location}; check the pattern")
        changes, missing = [], []
        for path in paths:
            try:
                changes.append(access.size_and_change(path)[1])
            except FileNotFoundError:
                missing.append(path)
            except OSError as error:
                raise cannot_read(path, error) from error
        if missing:
            raise DatasetError(
                f"{len(missing)} of {len(paths)} shards of {self.location} are missing, such as "
                f"{missing[0]}; fetch them, or name those that are there"
            )
        return [
            Shard(access.relative(self.root, path), changed, tar_index(path))
            for path, changed in zip(paths, changes, strict=True)
        ]

    def _described(self, pictures: Pictures) -> Description | None:
        """Return what the sidecars say of the pictures, row by row."""
        texts = [s.index.sidecars.with_columns(shard=pl.lit(s.name)) for s in pictures.shards]
        sidecars = pl.concat(texts)
        if sidecars.is_empty():
            return None
        _refuse_repeats(sidecars)
        stems = pictures.column(lambda shard, row: (shard.name, spoken(stem(shard.index.key(row)))))
        table = pl.concat(
            pl.DataFrame(stems[i : i + SLICE], schema=["shard", "stem"], orient="row")
            for i in range(0, len(stems), SLICE)
        )
        for ending, column in ((".json", "record"), (".cls", "class"), (".txt", "caption")):
            of_kind = sidecars.filter(pl.col("ending") == ending)
            of_kind = of_kind.select("shard", "stem", pl.col("text").alias(column))
            table = table.join(of_kind, on=["shard", "stem"], how="left", maintain_order="left")
        records = _records(table, self.location)
        return described(records, self.location, classes_file(self.root))


def _locator(shard: Shard, row: int) -> str:
    return f"{shard.name}@{shard.index.offsets[row]}+{shard.index.sizes[row]}"


def _records(table: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return the fields of `.json`, with what `.cls` and `.txt` say in the place of theirs."""
    fields: dict[str, pl.Series] = {}
    if table["record"].null_count() < table.height:
        fields = _parsed(table, where).to_dict()
    if table["class"].null_count() < table.height:
        fields = {name: column for name, column in fields.items() if name not in LABELS}
        fields["label"] = table["class"]
    if table["caption"].null_count() < table.height:
        own = [name for name, of in caption_sets(list(fields)).items() if of == "captions"]
        fields = {name: column for name, column in fields.items() if name not in own}
        fields["caption"] = table["caption"].str.strip_chars()
    return pl.DataFrame(fields)


def _parsed(table: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return the fields of all records, a part of them Python objects at a time."""
    frames = []
    try:
        for part in table.select("record", "stem").iter_slices(SLICE):
            rows = [{ROW: None} | _record(text, stem, where) for text, stem in part.iter_rows()]
            frames.append(pl.DataFrame(rows, infer_schema_length=None, strict=False))
        return pl.concat(frames, how="diagonal_relaxed").drop(ROW)
    except (pl.exceptions.PolarsError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DatasetError(
            f"the .json of {where} make no table: {reason}; let each field hold values of one kind"
        ) from error


def _refuse_repeats(sidecars: pl.DataFrame) -> None:
    repeated = sidecars.filter(pl.struct("shard", "stem", "ending").is_duplicated())
    if repeated.height:
        name, ending, shard = repeated.select("stem", "ending", "shard").row(0)
        raise DatasetError(f"{name}{ending} is more than once in {shard}; pack it once")


def _record(text: str | None, stem: str, where: str) -> dict[str, Any]:
    try:
        value = {} if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{stem}.json in {where} is no JSON: {error}; pack it again") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{stem}.json in {where} is no JSON object; pack it again")
    return value


def _by_folder(
    pictures: Pictures, where: str
) -> tuple[Pictures, Sequence[int | None], ClassList | None, list[str]]:
    """Return the pictures that count, their labels, the classes and notices, as of a folder."""
    numbers: dict[bytes, int] = {}  # topmost folder -> number, -1 for none
    tops = np.empty(len(pictures.rows), np.int32)
    for row, key in enumerate(pictures.keys()):
        top, below, _ = key.partition(b"\0")
        tops[row] = numbers.setdefault(top, len(numbers)) if below else -1
    beside = np.flatnonzero(tops < 0)
    if len(beside) == len(tops):
        return pictures, Column(len(tops), lambda part: [None] * len(tops[part])), None, []
    notices = []
    if len(beside):
        notices.append(
            f"{len(beside)} pictures beside the class folders of {where} belong to no class and "
            f"are left out, such as {spoken(pictures.keys()[int(beside[0])])}"
        )
        pictures, tops = replace(pictures, rows=pictures.rows[tops >= 0]), tops[tops >= 0]
    filled = [top.decode() for top in numbers]
    names = sorted({*filled, *(name for s in pictures.shards for name in s.index.folders)})
    empty = sorted({*names} - {*filled})
    notices += [f"class {name!r} of {where} has no pictures" for name in empty]
    labels = np.array([names.index(top) for top in filled], np.int32)[tops]
    return (
        pictures,
        Column(len(labels), lambda part: labels[part].tolist()),
        named_classes(names),
        notices,
    )


def _passed_over(shards: Sequence[Shard]) -> list[str]:
    passed: dict[str, list[str]] = {}
    for shard in shards:
        for name, kind in shard.index.passed:
            passed.setdefault(kind, []).append(f"{name} in {shard.name}")
    return [
        f"{len(places)} members of the shards are left out, of kind {kind!r}, such as {places[0]}"
        for kind, places in passed.items()
    ]
