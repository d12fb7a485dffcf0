"""Block runs: adoption, resumption, races, and shards that went missing."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from embedstore import schema
from embedstore.errors import DamagedError, IdentityError
from embedstore.store.files import LocalFiles
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out

N, D, B = 20, 3, 8


def plan(**changes) -> Plan:
    settings = {"n_rows": N, "precision": "float32", "inputs": {"fingerprint": "f"}} | changes
    array = lay_out(schema.EMBEDDINGS, (N, D), B)
    return Plan(kind="images", block_rows=B, batch_rows=4, arrays=(array,), **settings)


def rows(block: int, value: float = 0.0) -> np.ndarray:
    start, stop = plan().rows(block)
    return (np.arange(start, stop)[:, None] + np.zeros(D) + value).astype(np.float16)


@pytest.fixture
def run(tmp_path) -> BlockRun:
    return BlockRun.start(LocalFiles(tmp_path), "run", plan())


def test_blocks_come_back_and_the_manifest_ends_the_run(run):
    for block in (2, 0):
        run.commit(block, {"embeddings": rows(block)})
    assert run.missing() == [1]
    assert run.manifest is None
    run.commit(1, {"embeddings": rows(1)})
    manifest = run.finish()
    assert manifest.facts["n_rows"] == N
    np.testing.assert_array_equal(run.read(1, "embeddings"), rows(1))
    assert "failures.parquet" in manifest.files
    assert BlockRun.planned(run.files, "run").manifest == manifest


def test_who_finds_a_shard_adopts_its_bytes(run, tmp_path):
    run.commit(0, {"embeddings": rows(0)})
    (tmp_path / "run/blocks/000000.json").unlink()  # killed between the shard and its record
    stored = run.commit(0, {"embeddings": rows(0, value=0.5)})
    np.testing.assert_array_equal(stored["embeddings"], rows(0))
    assert run.missing() == [1, 2]


def test_failures_follow_the_adopted_bytes(run, tmp_path):
    first = rows(0)
    first[3] = np.nan
    run.commit(0, {"embeddings": first}, failures=[Failure(3, "read", "gone")])
    (tmp_path / "run/blocks/000000.json").unlink()
    other = rows(0)
    other[5] = np.nan
    run.commit(0, {"embeddings": other}, failures=[Failure(5, "read", "gone")])
    assert [f.row for f in run.failures()] == [3]


def test_a_cut_shard_without_record_is_not_adopted(run, tmp_path):
    run.commit(0, {"embeddings": rows(0)})
    (tmp_path / "run/blocks/000000.json").unlink()
    shard = tmp_path / "run/embeddings/c/0/0"
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(DamagedError, match="verify --repair"):
        run.commit(0, {"embeddings": rows(0)})


def test_racing_workers_agree(tmp_path):
    files = LocalFiles(tmp_path)
    results: list[np.ndarray] = []

    def work(value: float) -> None:
        mine = BlockRun.start(files, "run", plan())
        for block in range(3):
            results.append(mine.commit(block, {"embeddings": rows(block, value)})["embeddings"])
        mine.finish()

    threads = [threading.Thread(target=work, args=(v,)) for v in (0.0, 0.25, 0.5, 0.75)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = BlockRun.planned(files, "run")
    assert run.manifest is not None
    for block in range(3):
        stored = run.read(block, "embeddings")
        same = [r for r in results if r.shape == stored.shape and np.array_equal(r, stored)]
        assert len(same) == 4 if block == 2 else len(same) >= 4  # all four saw the same bytes


def test_a_deleted_shard_is_an_error_and_not_nan(run, tmp_path):
    for block in range(3):
        run.commit(block, {"embeddings": rows(block)})
    run.finish()
    (tmp_path / "run/embeddings/c/1/0").unlink()
    with pytest.raises(DamagedError, match=r"run/embeddings/c/1/0 \(rows 8 to 15\) is missing"):
        BlockRun.planned(LocalFiles(tmp_path), "run").read(1, "embeddings")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"inputs": {"fingerprint": "g"}}, "fingerprint"),
        ({"precision": "bfloat16"}, "precision"),
        ({"n_rows": 21}, "count of rows"),
    ],
)
def test_another_plan_is_refused_by_the_field_that_differs(run, changes, field):
    with pytest.raises(IdentityError, match=f"another {field}"):
        BlockRun.start(run.files, "run", plan(**changes))


def test_the_first_plan_chooses_the_blocks(run):
    array = lay_out(schema.EMBEDDINGS, (N, D), 4)
    other = Plan("images", N, 4, 2, "float32", {"fingerprint": "f"}, (array,))
    resumed = BlockRun.start(run.files, "run", other)
    assert (resumed.plan.block_rows, resumed.plan.batch_rows) == (B, 4)


def test_a_run_cannot_be_finished_without_its_shards(run, tmp_path):
    for block in range(3):
        run.commit(block, {"embeddings": rows(block)})
    (tmp_path / "run/embeddings/c/1/0").unlink()
    with pytest.raises(DamagedError, match="missing or cut short"):
        run.finish()


def test_finishing_again_changes_nothing(run, tmp_path):
    for block in range(3):
        run.commit(block, {"embeddings": rows(block)})
    manifest = run.finish()
    (tmp_path / "run/failures.parquet").write_bytes(b"as another version would write it")
    assert run.finish() == manifest
    assert (tmp_path / "run/failures.parquet").read_bytes().startswith(b"as another")
