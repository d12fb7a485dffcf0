"""Reading every byte of a store against its digests.

Three kinds of file: records that carry their own digest, files that a manifest or a block's record
names with theirs, and the rest, which no reader ever opens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from embedstore.accelerate import n_threads
from embedstore.errors import DamagedError, StoreError
from embedstore.store import layout
from embedstore.store.files import ASIDE, LocalFiles, digest_of
from embedstore.store.formats import check_format
from embedstore.store.indexes import stale_indexes
from embedstore.store.manifest import MANIFEST, FileEntry, read_entries, read_manifest
from embedstore.store.plans import PLAN
from embedstore.store.pointers import datasets_of, finished
from embedstore.store.records import read_record
from embedstore.store.runs import BlockRun
from embedstore.store.shards import from_metadata, zarr_json

State = Literal["damaged", "missing", "stale", "leftover"]
_OURS = (layout.STORE, f".{layout.STORE}.", *(f"{part}/" for part in layout.PARTS))


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not what it should be."""

    file: str
    state: State  # damaged, missing; stale (a cache) and leftover cost nothing
    rows: tuple[int, int] | None  # first and last row that it costs; None: all rows of its folder

    @property
    def harmless(self) -> bool:
        """Whether no reader is any worse for it."""
        return self.state in ("stale", "leftover")

    @property
    def cost(self) -> str:
        """What is lost with it, in words."""
        if self.harmless:
            return "nothing"
        return "all rows" if self.rows is None else f"rows {self.rows[0]} to {self.rows[1]}"


def verify(files: LocalFiles, progress: Callable[[int], None] = lambda _n: None) -> list[Problem]:
    """Read everything once and return what is wrong, sorted by file.

    Parameters
    ----------
    files
        The store's.
    progress
        Called with the bytes read since the last call.

    Raises
    ------
    StoreError
        If there is no store.
    """
    if not files.exists(layout.STORE) and not layout.was_store(files.root):
        raise StoreError(f"there is no store at {files.root}; check the path")
    if files.exists(layout.STORE) and _readable(files, layout.STORE):
        check_format(files)  # a newer one knows files that would be taken for leftovers
    # What lies beside the store's own folders is none of ours, and never swept.
    keys = [key for key in files.walk() if key.startswith(_OURS)]
    folders = _folders(keys)
    problems: dict[str, Problem] = {}
    expected: dict[str, tuple[str, FileEntry]] = {}
    for problem in _check_records(files, keys, folders, expected):
        problems.setdefault(problem.file, problem)
    for problem in _check_contents(files, expected, progress):
        problems.setdefault(problem.file, problem)
    vouching = {folder for folder, _ in expected.values()}
    for key in keys:
        if key in expected or key in problems or _is_record(key):
            continue
        # Where no manifest and no plan can be read, a file may be all that is left of good data.
        if ASIDE in key or folder_of(key) in vouching or layout.is_cache(key):
            problems[key] = Problem(key, "leftover", None)
    return sorted(map(_as_cache, problems.values()), key=lambda p: p.file)


def _as_cache(problem: Problem) -> Problem:
    """Results and indexes are made anew where they are damaged: it costs nothing."""
    if layout.is_cache(problem.file) and not problem.harmless:
        return Problem(problem.file, "stale", None)
    return problem


def _folders(keys: list[str]) -> set[str]:
    """Return the folders that were committed or begun: they hold a manifest or a plan."""
    ends = (f"/{MANIFEST}", f"/{PLAN}")
    return {key.rsplit("/", 1)[0] for key in keys if key.endswith(ends)}


def _is_record(key: str) -> bool:
    name = PurePosixPath(key).name
    return key == layout.STORE or key.startswith("runs/") or name in (MANIFEST, "model.json")


def _check_records(
    files: LocalFiles,
    keys: list[str],
    folders: set[str],
    expected: dict[str, tuple[str, FileEntry]],
) -> Iterator[Problem]:
    """Check records that carry their own digest; collect in `expected` what they vouch for."""
    if layout.STORE not in keys:
        yield Problem(layout.STORE, "missing", None)
    for key in keys:
        if not key.endswith(ASIDE) and _is_record(key) and not _readable(files, key):
            yield Problem(key, "damaged", None)
    for folder in sorted(folders):
        try:
            yield from _vouched(files, folder, expected)
        except DamagedError:
            continue  # the record itself is among the problems
    for model in files.folders("models"):
        if not files.exists(layout.model_record(model)):
            yield Problem(layout.model_record(model), "missing", None)
    yield from _check_foundations(files, folders)
    yield from (Problem(f"{f}/{MANIFEST}", "stale", None) for f in stale_indexes(files))
    yield from _check_pointers(files, keys)


def _check_foundations(files: LocalFiles, folders: set[str]) -> Iterator[Problem]:
    """Check that what runs lean on is there: their data set, texts and head."""
    for folder in sorted(f for f in folders if f.startswith("models/")):
        _, model, kind, name, *rest = folder.split("/")
        needed = {"texts": layout.texts(name)}.get(kind)
        if kind in ("images", "patches", "outcomes", "answers"):
            needed = layout.dataset(name)
        if kind == "logits":
            needed = layout.head(model, rest[0])
        if needed and not files.exists(f"{needed}/{MANIFEST}"):
            yield Problem(f"{needed}/{MANIFEST}", "missing", None)


def _vouched(
    files: LocalFiles, folder: str, expected: dict[str, tuple[str, FileEntry]]
) -> Iterator[Problem]:
    """Collect what the folder's manifest lists or, while it is unfinished, its blocks' records."""
    try:
        manifest = read_manifest(files, folder)
    except DamagedError:
        manifest = None  # reported as a record; the blocks' records still vouch for their shards
    if manifest is not None:
        expected |= {f"{folder}/{n}": (folder, e) for n, e in manifest.files.items()}
        return
    key = f"{folder}/{PLAN}"
    if not files.exists(key):
        return
    entry = FileEntry.of(files.read(key))
    expected[key] = (folder, entry)
    if not _readable(files, key):
        yield Problem(key, "damaged", None)
        return
    run = BlockRun.planned(files, folder)
    assert run is not None
    for array in run.plan.arrays:
        expected[f"{folder}/{array.name}/zarr.json"] = (folder, FileEntry.of(zarr_json(array)))
    yield from _vouched_by_blocks(files, run, expected)


def _vouched_by_blocks(
    files: LocalFiles, run: BlockRun, expected: dict[str, tuple[str, FileEntry]]
) -> Iterator[Problem]:
    for block in range(run.plan.n_blocks):
        key = f"{run.folder}/blocks/{block:06d}.json"
        start, stop = run.plan.rows(block)
        try:
            record = run.block_record(block)
        except DamagedError:
            yield Problem(key, "damaged", (start, stop - 1))
            continue
        if record is not None:
            expected[key] = (run.folder, FileEntry.of(files.read(key)))
            expected |= {
                f"{run.folder}/{n}": (run.folder, e) for n, e in read_entries(record).items()
            }


def _check_pointers(files: LocalFiles, keys: list[str]) -> Iterator[Problem]:
    """Check that pointers say what the manifests do, no less and no more."""
    for model in files.folders("models"):
        for dataset in datasets_of(files, model):
            key = layout.pointer(model, dataset)
            if not files.exists(key) and finished(files, model, dataset):
                yield Problem(key, "stale", None)
    yield from _check_targets(files, keys)


def _check_targets(files: LocalFiles, keys: list[str]) -> Iterator[Problem]:
    """A pointer that says more than the manifests do points at what was deleted."""
    for key in (k for k in keys if k.startswith("runs/") and k.endswith(".json")):
        try:
            record = read_record(files.read(key), key)
            found = finished(files, record["model"], record["dataset"])
        except DamagedError:
            continue  # damaged itself, or its manifests are: reported as such
        if found == record:
            continue
        yield Problem(key, "stale", None)
        model, dataset = record["model"], record["dataset"]
        there = (found or {"heads": {}})["heads"]
        if record["embeddings"] and not (found and found["embeddings"]):
            yield Problem(f"{layout.images(model, dataset)}/{MANIFEST}", "missing", None)
        for layer in set(record["patches"]) - set(found["patches"] if found else []):
            yield Problem(f"{layout.patches(model, dataset, layer)}/{MANIFEST}", "missing", None)
        for head in set(record["logits"]) - set(found["logits"] if found else []):
            yield Problem(f"{layout.logits(model, dataset, head)}/{MANIFEST}", "missing", None)
        for head, spaces in record["heads"].items():
            for space in set(spaces) - set(there.get(head, [])):
                folder = layout.outcomes(model, dataset, head, space)
                yield Problem(f"{folder}/{MANIFEST}", "missing", None)


def _check_contents(
    files: LocalFiles,
    expected: Mapping[str, tuple[str, FileEntry]],
    progress: Callable[[int], None],
) -> Iterator[Problem]:
    def check(item: tuple[str, tuple[str, FileEntry]]) -> tuple[str, str, State | None]:
        key, (folder, entry) = item
        try:
            found = _entry(files, key)
        except FileNotFoundError:
            return key, folder, "missing"
        return key, folder, None if found == entry else "damaged"

    with ThreadPoolExecutor(n_threads()) as pool:
        for key, folder, state in pool.map(check, expected.items()):
            progress(expected[key][1].n_bytes)
            if state:
                yield Problem(key, state, _rows(files, folder, key))


def _entry(files: LocalFiles, key: str) -> FileEntry:
    if files.size(key) == 0:
        return FileEntry.of(b"")
    with files.map(key) as data:
        return FileEntry(len(data), digest_of(data))


def _rows(files: LocalFiles, folder: str, key: str) -> tuple[int, int] | None:
    """Return the first and last row that a file holds; None where it concerns all."""
    parts = key[len(folder) + 1 :].split("/")
    try:
        if parts[0] == "blocks":
            run = BlockRun.planned(files, folder)
            bounds = run.plan.rows(int(parts[1].split(".")[0])) if run else None
        elif len(parts) > 2 and parts[1] == "c":
            data = json.loads(files.read(f"{folder}/{parts[0]}/zarr.json"))
            bounds = from_metadata(parts[0], data).rows(int(parts[2]))
        else:
            bounds = None
    except (DamagedError, ValueError, FileNotFoundError):
        return None
    return (bounds[0], bounds[1] - 1) if bounds else None


def _readable(files: LocalFiles, key: str) -> bool:
    try:
        read_record(files.read(key), key)
    except DamagedError:
        return False
    except FileNotFoundError:  # a running encode has just renamed it
        return True
    return True


def folder_of(key: str) -> str:
    """Return the committed folder that a file belongs to."""
    parts = key.split("/")
    depth = {"datasets": 2, "texts": 2}.get(parts[0])
    if parts[0] == "datasets" and len(parts) > 4 and parts[2] in ("annotations", "pairs"):
        depth = 4
    if depth is None and parts[0] == "models" and len(parts) > 3:
        depths = {"images": 4, "texts": 4, "heads": 4, "logits": 5, "patches": 5, "answers": 5}
        depths |= {"outcomes": 6, "indexes": 6}
        depth = depths.get(parts[2])
    return "/".join(parts[: depth or len(parts) - 1])
