"""Mending what a damaged store can mend by itself."""

from __future__ import annotations

from pathlib import PurePosixPath

import polars as pl

from embedstore import schema
from embedstore.errors import DamagedError
from embedstore.store import layout
from embedstore.store.datasets import fingerprint
from embedstore.store.files import ASIDE, LocalFiles
from embedstore.store.manifest import MANIFEST, commit
from embedstore.store.plans import PLAN
from embedstore.store.pointers import datasets_of, write_pointer
from embedstore.store.records import read_record, write_record
from embedstore.store.runs import BlockRun
from embedstore.store.shards import zarr_json
from embedstore.store.tables import from_parquet
from embedstore.store.verify import Problem, folder_of

#: Seconds after which a leftover is taken for a dead writer's.
LEFTOVER_AGE = 600.0


def repair(files: LocalFiles, problems: list[Problem], *, leftover_age: float = 0.0) -> list[str]:
    """Sweep leftovers, rebuild caches, and withdraw what is damaged, so that encoding refills it.

    Parameters
    ----------
    files, problems
        The store's, and what :func:`embedstore.store.verify.verify` says of them.
    leftover_age
        Seconds that a leftover must have lain still: a younger one may belong to a running encode.

    Returns
    -------
    list of str
        The folders that are unfinished now: running the same encode command again completes them. A
        damaged plan is beyond mending: its folder must be removed.
    """
    withdrawn: set[str] = set()
    for problem in problems:
        name = PurePosixPath(problem.file).name
        if problem.state == "leftover":
            if files.age(problem.file) >= leftover_age:
                files.sweep(problem.file) if ASIDE in problem.file else files.delete(problem.file)
        elif problem.file.startswith("runs/"):
            files.delete(problem.file)
        elif layout.is_cache(problem.file):
            _discard(files, folder_of(problem.file))
        elif problem.file == layout.STORE:
            files.replace(layout.STORE, write_record({"format": schema.FORMAT}))
        elif (name == "zarr.json" and _rewrite_zarr_json(files, problem.file)) or (
            name == MANIFEST and _restore_dataset(files, problem.file)
        ):
            continue
        elif name != PLAN:
            _withdraw(files, problem, withdrawn)
        else:
            withdrawn.add(folder_of(problem.file))
    for model in files.folders("models"):
        for dataset in datasets_of(files, model):
            write_pointer(files, model, dataset)
    return sorted(withdrawn)


def _discard(files: LocalFiles, folder: str) -> None:
    if files.path(folder).is_dir():
        files.delete_folder(folder)


def _withdraw(files: LocalFiles, problem: Problem, withdrawn: set[str]) -> None:
    """Delete a file, and first what says that it is there: manifest and block's record."""
    folder = folder_of(problem.file)
    files.delete(f"{folder}/{MANIFEST}")
    run = _planned(files, folder)
    if run is not None and problem.rows is not None:
        for block in range(run.plan.n_blocks):
            start, stop = run.plan.rows(block)
            if start <= problem.rows[1] and problem.rows[0] < stop:
                files.delete(f"{folder}/blocks/{block:06d}.json")
    files.delete(problem.file)
    withdrawn.add(folder)


def _restore_dataset(files: LocalFiles, key: str) -> bool:
    """Commit a data set again whose files are whole but whose manifest is not.

    Its record carries a digest, and the fingerprint in it vouches for the samples; without the
    pictures, nothing else could bring them back.
    """
    folder = folder_of(key)
    names = ("dataset.json", "samples.parquet")
    if not folder.startswith("datasets/") or not all(files.exists(f"{folder}/{n}") for n in names):
        return False
    contents = {name: files.read(f"{folder}/{name}") for name in names}
    try:
        record = read_record(contents["dataset.json"], key)
        samples = from_parquet(contents["samples.parquet"])
        found = fingerprint(samples, tuple(record["class_ids"]))
    except (DamagedError, pl.exceptions.PolarsError):
        return False
    if found != record["fingerprint"]:
        return False
    files.delete(key)
    commit(files, folder, "dataset", contents, {"n_rows": record["n_samples"]})
    return True


def _rewrite_zarr_json(files: LocalFiles, key: str) -> bool:
    """Write a run's `zarr.json` again from its plan; return whether there is one."""
    run = _planned(files, folder_of(key))
    if run is None:
        return False
    array = next(a for a in run.plan.arrays if a.name == PurePosixPath(key).parent.name)
    files.replace(key, zarr_json(array))
    return True


def _planned(files: LocalFiles, folder: str) -> BlockRun | None:
    """Return the folder's run, or None where its plan is missing or damaged too."""
    try:
        return BlockRun.planned(files, folder)
    except DamagedError:
        return None
