"""Results of an analysis as a table, or accuracy as the JSON files that CLIP_benchmark writes.

Its keys are those of clip_benchmark 1.6.2's `eval` (LAION; `clip_benchmark build` reads them), and
two more that `build` takes along as columns: head and space.
"""

from __future__ import annotations

import json
from functools import partial
from typing import IO, Any

import polars as pl

from embedstore import analysis, zoo
from embedstore.errors import EmbedStoreError
from embedstore.exporters.files import Advance, Export, Job
from embedstore.exporters.selection import Chosen, refuse_nothing
from embedstore.exporters.tables import ENDINGS, write_table
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun

CLIP_BENCHMARK = "clip-benchmark"
_TASK, _LANGUAGE = "zeroshot_classification", "en"


def results(chosen: Chosen, format_: str, name: str = "accuracy") -> Export:
    """Write what an analysis says of the runs that match.

    Parameters
    ----------
    chosen
        Which runs, and where to.
    format_
        `parquet`, `csv`, or for accuracy `clip-benchmark`.
    name
        Of the analysis.
    """
    wanted: dict[str, Any] = {
        "models": chosen.models,
        "datasets": chosen.datasets,
        "heads": chosen.heads,
    }
    known = analysis.find(name).parameters
    frame = analysis.run(name, chosen.store, **{k: v for k, v in wanted.items() if k in known})
    refuse_nothing(frame.rows(), chosen, f"results of {name}")
    if format_ != CLIP_BENCHMARK:
        path = chosen.place((name,), 1, ENDINGS[format_])
        what = f"{frame.height:,} rows of {name}"
        return Export([Job(path, partial(write_table, frame.lazy(), format_), what)])
    if name != "accuracy":
        raise EmbedStoreError(
            f"{CLIP_BENCHMARK} has no place for {name}; write it with --format csv, or accuracy"
        )
    measured = frame.filter(pl.col("n_samples") > 0)
    refuse_nothing(measured.rows(), chosen, "labelled outcomes")
    rows = [_record(chosen.store, row) for row in measured.iter_rows(named=True)]
    jobs = []
    for row, record in zip(measured.iter_rows(named=True), rows, strict=True):
        names = (row["dataset"], row["model"], row["head"], row["space"], _TASK)
        path = chosen.place(names, len(rows), ".json")
        jobs.append(Job(path, partial(_write, record), f"accuracy of {row['model']}"))
    return Export(jobs)


def _record(store: Store, row: dict[str, Any]) -> dict[str, Any]:
    model, pretrained = _names(store.model(row["model"]).spec, row["model"])
    run = OutcomeRun(row["model"], row["dataset"], row["head"], row["space"])
    n_classes = len(store.space(run)["class_ids"])
    return {
        "dataset": row["dataset"],
        "model": model,
        "pretrained": pretrained,
        "task": _TASK,
        "metrics": {
            "acc1": row["top1_accuracy"],
            "acc5": row["top5_accuracy"] if n_classes >= 5 else None,
            "mean_per_class_recall": row["mean_class_accuracy"],
        },
        "language": _LANGUAGE,
        "head": row["head"],
        "space": row["space"],
    }


def _names(spec: str, name: str) -> tuple[str, str]:
    """Return what open_clip calls architecture and weights; else the store's name alone."""
    known = zoo.find(spec.partition("?")[0])  # a folder's path looks alike
    kind, _, rest = known["spec"].partition(":") if known else ("", "", "")
    architecture, slash, weights = rest.partition("/")
    return (architecture, weights) if kind == "open_clip" and slash else (name, "")


def _write(record: dict[str, Any], file: IO[bytes], advance: Advance) -> None:
    advance(file.write((json.dumps(record, ensure_ascii=False) + "\n").encode()))
