"""Sets of pairs below a data set: which there are, and how far. What pairs are, it knows not."""

from __future__ import annotations

from embedstore.store import layout
from embedstore.store.contents import committed
from embedstore.store.files import LocalFiles
from embedstore.store.runs import BlockRun


def begun_sets(files: LocalFiles, dataset: str) -> list[str]:
    """Return the names of a data set's sets of pairs, finished or begun."""
    return files.folders(layout.pair_sets(dataset))


def finished_sets(files: LocalFiles, dataset: str) -> list[str]:
    """Return the names of those that are finished."""
    return committed(files, layout.pair_sets(dataset))


def pair_rows(files: LocalFiles, dataset: str) -> list[tuple[object, ...]]:
    """Return a row a set of what `embedstore info` shows: of no model, `pairs/NAME` for a head."""
    rows: list[tuple[object, ...]] = []
    for name in begun_sets(files, dataset):
        run = BlockRun.planned(files, layout.pairs(dataset, name))
        if run is not None:
            n_bytes = run.manifest.n_bytes if run.manifest else 0
            rows.append((None, dataset, f"pairs/{name}", run.plan.n_rows, 0, n_bytes, run.state))
    return rows
