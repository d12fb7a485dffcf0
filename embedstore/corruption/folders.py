"""Which pictures of a store are under which corruption, and that they are the same ones.

A data set is of a benchmark if its samples say so (annotations `corruption` and `severity`), or
else its name, BENCHMARK--CORRUPTION--SEVERITY, perhaps with --limit-N behind it. Pictures of two
data sets are the same where their sample ids are, or where these share none the ids' last parts,
since copies lie in different folders.

Dimensions: N samples of a data set, M of them under one corruption at one severity.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from embedstore.accelerate import n_threads
from embedstore.corruption.benchmarks import KINDS, known_as, without_limit
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.copies import CORRUPT_SOURCE, CORRUPTED, LIMITED
from embedstore.in_distribution import AUTO, ID_NAMES, NONE
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord

#: What to do where a folder holds pictures that another lacks: refuse, or take those of all.
Rows = Literal["same", "common"]
_NAME = re.compile(rf"(?P<name>.+){CORRUPTED}(?P<limit>{LIMITED})?")


@dataclass(frozen=True, slots=True)
class Folder:
    """Pictures under one corruption at one severity, or clean ones."""

    benchmark: str
    corruption: str | None  # None of clean ones
    severity: int  # 0 of clean ones
    dataset: str
    n_samples: int  # N
    n_pictures: int  # before any was left out, since another folder lacks it
    rows: pl.Series | None  # (M,) rows of the data set; None: all of them
    pictures: pl.Series  # (M,) sample ids
    classes: pl.Series  # (M,) ids; null without a label
    as_read: bool = False  # corrupted as they were read, not by the benchmark's authors

    @classmethod
    def whole(
        cls,
        benchmark: str,
        corruption: str | None,
        severity: int,
        record: DatasetRecord,
        samples: pl.DataFrame,
    ) -> Folder:
        """Return the folder of all samples of a data set."""
        n = samples.height
        ids, as_read = samples["sample_id"], record.source.startswith(CORRUPT_SOURCE)
        classes = pl.Series(record.class_ids, dtype=pl.String).gather(samples["label"])
        return cls(benchmark, corruption, severity, record.name, n, n, None, ids, classes, as_read)

    def part(self, rows: pl.Series) -> Folder:
        """Return the folder of some of its pictures, in the order of `rows`: (M,) indices."""
        return replace(
            self,
            rows=rows if self.rows is None else self.rows.gather(rows),
            pictures=self.pictures.gather(rows),
            classes=self.classes.gather(rows),
        )


def folders_of(store: Store, datasets: Iterable[str]) -> list[Folder]:
    """Return all folders of corrupted pictures among data sets, by benchmark.

    Raises
    ------
    EmbedStoreError
        If two data sets are of the same corruption, severity and benchmark.
    """
    names = sorted(datasets)
    with ThreadPoolExecutor(n_threads()) as pool:
        found = list(pool.map(lambda name: _folders(store, name), names))
    folders = [folder for several in found for folder in several]
    seen: dict[tuple[str, str | None, int], Folder] = {}
    for folder in folders:
        key = (folder.benchmark, folder.corruption, folder.severity)
        other = seen.setdefault(key, folder)
        if other is not folder:
            raise EmbedStoreError(
                f"data sets {other.dataset!r} and {folder.dataset!r} are both {folder.corruption} "
                f"at severity {folder.severity} of {folder.benchmark!r}; leave one out with "
                "--datasets, a glob over names"
            )
    return sorted(folders, key=lambda folder: folder.benchmark)


def clean_folder(store: Store, benchmark: str, dataset: str) -> Folder:
    """Return the clean pictures of a benchmark."""
    return Folder.whole(benchmark, None, 0, store.dataset(dataset), store.samples(dataset))


def clean_dataset(benchmark: str, wanted: str, there: Collection[str]) -> str | None:
    """Return the data set that a benchmark was made from: `wanted`, or known by its name.

    Parameters
    ----------
    benchmark
        A known one is of ImageNet's validation pictures; one of a user's own is named after them.
    wanted
        A name, `AUTO` or `NONE`.
    there
        Data sets that could be it.

    Raises
    ------
    UnknownNameError
        If a name is given that is not there.
    EmbedStoreError
        If several could be it.
    """
    if wanted == NONE:
        return None
    if wanted != AUTO:
        if wanted not in there:
            raise UnknownNameError("clean data set", wanted, [*there, NONE])
        return wanted
    name = without_limit(benchmark)
    names = ID_NAMES if known_as(benchmark) else {name.lower()}
    for limit in dict.fromkeys((benchmark.removeprefix(name), "")):
        found = sorted(
            d for d in there if d.endswith(limit) and d.removesuffix(limit).lower() in names
        )
        if len(found) > 1:
            raise EmbedStoreError(
                f"any of {', '.join(found)} could be the clean pictures of {benchmark!r}; name "
                "their data set with --clean"
            )
        if found:
            return found[0]
    return None


def same_pictures(folders: Sequence[Folder], rows: Rows) -> tuple[list[Folder], str | None]:
    """Return folders that hold the same pictures in the same order, and what to note of it.

    Parameters
    ----------
    folders
        Of one benchmark; the clean one, if there is one, is the first.
    rows
        `same` refuses a folder that holds others, `common` takes those that all hold.

    Raises
    ------
    EmbedStoreError
        If a folder lacks pictures of another, or holds further ones; with `common`, if no picture
        is in all; or if a picture is of another class in one than in another.
    """
    keys = _keys([folder.pictures for folder in folders])
    whole = 0 if folders[0].severity == 0 else max(range(len(keys)), key=lambda i: len(keys[i]))
    different = [i for i, key in enumerate(keys) if not _alike(key, keys[whole])]
    if different and rows == "same":
        i = different[0]
        raise _different(folders[i], keys[i], folders[whole], keys[whole])
    common = keys[whole]
    for i in different:
        common = common.filter(common.is_in(keys[i].implode()))
    if different and common.is_empty():
        names = f"{folders[whole].dataset!r} and {folders[different[0]].dataset!r}"
        raise EmbedStoreError(
            f"no picture is in all data sets of {folders[whole].benchmark!r}, such as {names}; "
            "name the clean one with --clean (none: do without), or choose with --datasets"
        )
    kept = [_only(folder, key, common) for folder, key in zip(folders, keys, strict=True)]
    for folder in kept:
        _check_classes(folder, kept[whole], common)
    note = f"over the {len(common):,} pictures that all {len(folders)} folders hold"
    return kept, note if different else None


def _folders(store: Store, dataset: str) -> list[Folder]:
    record, samples = store.dataset(dataset), store.samples(dataset)
    named = _NAME.fullmatch(dataset)
    benchmark = named["name"] + (named["limit"] or "") if named else _benchmark(record)
    corruption, severity = (named["corruption"], int(named["severity"])) if named else (None, 0)
    whole = Folder.whole(benchmark, corruption, severity, record, samples)
    if _annotated(samples):
        return _by_annotations(whole, samples)
    return [whole] if named else []


def _benchmark(record: DatasetRecord) -> str:
    """Return the benchmark of a data set whose name says none: that of its source, or itself."""
    kind = record.source.partition(":")[0]
    return kind if kind in KINDS else record.name


def _annotated(samples: pl.DataFrame) -> bool:
    severity = samples.schema.get("severity", pl.Null())
    return samples.schema.get("corruption") == pl.String and severity.is_integer()


def _by_annotations(whole: Folder, samples: pl.DataFrame) -> list[Folder]:
    """Part the samples of a data set; those of no corruption or of severity 0 are in no folder."""
    said = samples.select("corruption", "severity").with_row_index("row")
    parts = said.filter(pl.col("severity") > 0, pl.col("corruption").is_not_null()).partition_by(
        "corruption", "severity", as_dict=True, maintain_order=True
    )
    folders = []
    for (corruption, severity), rows in parts.items():
        folder = whole if rows.height == samples.height else whole.part(rows["row"])
        kind, n_pictures = str(corruption), rows.height
        folders.append(
            replace(folder, corruption=kind, severity=int(severity), n_pictures=n_pictures)
        )
    return folders


def _keys(ids: Sequence[pl.Series]) -> list[pl.Series]:
    """Return what tells pictures apart: whole ids, or their last parts where they share none."""
    first = ids[0]
    if all(i.equals(first) or i.is_in(first.implode()).any() for i in ids[1:]):
        return list(ids)
    parts = [i.str.extract(r"([^/]+)$") for i in ids]
    return list(ids) if any(part.n_unique() < len(part) for part in parts) else parts


def _alike(first: pl.Series, second: pl.Series) -> bool:
    """Whether two folders hold the same pictures, in whatever order."""
    if len(first) != len(second):
        return False
    return first.equals(second) or bool(first.is_in(second.implode()).all())


def _only(folder: Folder, keys: pl.Series, wanted: pl.Series) -> Folder:
    """Return a folder of the pictures that are wanted, in their order."""
    if keys.equals(wanted):
        return folder
    places = pl.DataFrame({"key": keys}).with_row_index("row").unique("key", keep="first")
    found = pl.DataFrame({"key": wanted}).join(places, "key", how="left", maintain_order="left")
    return folder.part(found["row"])


def _check_classes(folder: Folder, other: Folder, names: pl.Series) -> None:
    """Refuse other labels of the same pictures, where the classes are named alike: (M,) names."""
    differs = folder.classes != other.classes
    if not differs.any() or not folder.classes.is_in(other.classes.implode()).any():
        return
    first = differs.arg_true()[0]
    raise EmbedStoreError(
        f"picture {names[first]!r} is of class {folder.classes[first]!r} in data set "
        f"{folder.dataset!r} and of {other.classes[first]!r} in {other.dataset!r}; add one of them "
        "with the labels of the other, or choose others with --datasets or --clean"
    )


def _different(
    folder: Folder, keys: pl.Series, whole: Folder, whole_keys: pl.Series
) -> EmbedStoreError:
    """Return the error that a folder holds other pictures than it should, with an example."""
    lacking = whole_keys.filter(~whole_keys.is_in(keys.implode()))
    further = keys.filter(~keys.is_in(whole_keys.implode()))
    said = []
    if len(lacking):
        of = f"{len(lacking):,} of the {len(whole_keys):,} pictures of {whole.dataset!r}"
        said.append(f"lacks {of}, such as {lacking[0]!r}")
    if len(further):
        said.append(f"holds {len(further):,} that are not in it, such as {further[0]!r}")
    what = f"data set {folder.dataset!r}"
    if folder.rows is not None:
        what += f" ({folder.corruption} {folder.severity})"
    return EmbedStoreError(
        f"{what} {' and '.join(said)}; encode the whole folder, name another clean data set with "
        "--clean, or compare the pictures that all hold with --rows common"
    )
