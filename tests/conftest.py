"""Fixtures that many tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from embedstore import Store, schema
from embedstore.heads.outcomes import save_outcomes
from embedstore.labels import ALL
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.pointers import write_pointer

ROOT = Path(__file__).parents[1]
Say = Callable[..., None]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures and published results, or a skip that says why."""
    folder = Path(os.environ.get("EMBEDSTORE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set EMBEDSTORE_TEST_DATA to the folder")
    return folder


@pytest.fixture(scope="session")
def imagenet_sample(shared_data: Path) -> Path:
    """1,000 ImageNet photographs, a folder a class."""
    return shared_data / "imagenet-sample"


@pytest.fixture(scope="session")
def say() -> Say:
    """Put into a store what a model says of each sample."""

    def put(
        store: Store,
        model: str,
        correct: Sequence[bool | None],
        *,
        dataset: str = "data",
        head: str = "said",
        space: str = ALL,
        prediction: Sequence[int | None] | None = None,
        confidence: Sequence[float | None] | None = None,
        class_ids: Sequence[str] | None = None,
    ) -> None:
        if model not in store.models:
            identity = {"weights": model}
            record = ModelRecord(model, f"python:{model}", identity, 0, False, True, {})
            save_model(store.files, record)
        known = {"prediction": prediction, "correct": correct, "confidence": confidence}
        nulls = [None] * len(correct)
        columns = {name: known.get(name) or nulls for name in schema.OUTCOMES}
        table = pl.DataFrame(columns, schema=dict(schema.OUTCOMES))
        found = store.dataset(dataset)
        ids = list(found.class_ids if class_ids is None else class_ids)
        described = {"name": space, "class_ids": ids, "rule": "max", "labels": "label"}
        facts = {"n_rows": len(correct), "inputs": {"fingerprint": found.fingerprint}}
        run = OutcomeRun(model, dataset, head, space)
        save_outcomes(store, run, table, described | {"members": {}}, facts)
        write_pointer(store.files, model, dataset)

    return put
