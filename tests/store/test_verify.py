"""verify finds every flipped bit and missing file; repair withdraws what encoding can refill."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest

from embedstore import Store
from embedstore.heads.run import HeadRun, derive
from embedstore.heads.stored import load_head
from embedstore.labels import judgements
from embedstore.store.files import LocalFiles
from embedstore.store.repair import repair
from embedstore.store.runs import BlockRun
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path) -> Store:
    return random_store(tmp_path / "s", models=("a", "b"), failed=(3,))


def serious(store: Store) -> dict[str, str]:
    problems = verify(LocalFiles(store.files.root))
    return {p.file: p.state for p in problems if not p.harmless}


def test_a_whole_store_is_whole(store):
    read = []
    assert verify(store.files, read.append) == []
    assert sum(read) > 0


def test_100_of_100_single_bit_flips_are_found_and_named(store):
    chance = random.Random(0)
    keys = list(store.files.walk())
    kinds = set()
    for i in range(100):
        key = keys[i] if i < len(keys) else chance.choice(keys)
        path = store.files.path(key)
        good = path.read_bytes()
        bad = bytearray(good)
        bit = chance.randrange(len(bad) * 8)
        bad[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(bad))
        assert serious(store).get(key) == "damaged", (key, bit)
        path.write_bytes(good)
        kinds.add(path.suffix)
    assert kinds == {"", ".json", ".parquet"}  # shards, records, tables
    assert serious(store) == {}


def test_every_missing_file_is_named(store):
    for key in list(store.files.walk()):
        path = store.files.path(key)
        good = path.read_bytes()
        path.unlink()
        problems = verify(LocalFiles(store.files.root))
        if not key.startswith("runs/"):  # a cache: rebuilt, nothing lost
            named = {p.file for p in problems if p.state == "missing"}
            folder = key.rsplit("/", 1)[0]
            manifest_gone = key.endswith("manifest.json")
            assert key in named or (
                manifest_gone
                and any(f.startswith(folder) for f in {*named, *(p.file for p in problems)})
            ), key
        path.write_bytes(good)


def test_the_rows_that_a_shard_costs(store):
    store.files.path("models/a/images/data/embeddings/c/1/0").unlink()
    path = store.files.path("models/a/logits/data/own/logits/c/2/0")
    path.write_bytes(path.read_bytes()[:-1])
    found = {p.file: (p.state, p.cost) for p in verify(LocalFiles(store.files.root))}
    assert found == {
        "models/a/images/data/embeddings/c/1/0": ("missing", "rows 16 to 31"),
        "models/a/logits/data/own/logits/c/2/0": ("damaged", "rows 32 to 39"),
    }


def test_leftovers_are_swept(store):
    aside = store.files.path("models/a/images/data/embeddings/c/0/.0.123-abcd.aside")
    aside.write_bytes(b"half")
    problems = verify(store.files)
    assert [(p.state, p.cost) for p in problems] == [("leftover", "nothing")]
    assert repair(store.files, problems) == []
    assert not aside.exists()


def test_repair_withdraws_and_deriving_refills(store):
    folder = "models/a/logits/data/own"
    before = np.asarray(store.logits("a", "data", "own"))
    for key in (f"{folder}/logits/c/1/0", "models/a/outcomes/data/own/all/table.parquet"):
        path = store.files.path(key)
        data = bytearray(path.read_bytes())
        data[5] ^= 4
        path.write_bytes(bytes(data))
    assert repair(store.files, verify(store.files)) == [folder, "models/a/outcomes/data/own/all"]
    assert serious(store) == {}
    again = Store(LocalFiles(store.files.root))
    images = BlockRun.planned(again.files, "models/a/images/data")
    head, record = load_head(again, "a", "own"), again.dataset("data")
    judged = judgements(head.class_ids, record, again.samples("data"))
    run = HeadRun.start(again, images, ("a", "data", "own"), head, judged)
    assert run.run.missing() == [1]
    derive(images, [run])
    np.testing.assert_array_equal(np.asarray(again.logits("a", "data", "own")), before)
    assert again.outcomes("a").collect().height == 40


def test_repair_restores_the_stores_own_record(store):
    store.files.path("embedstore.json").unlink()
    repair(store.files, verify(store.files))
    assert Store.open(store.files.root).models == ["a", "b"]


def test_a_deleted_run_leaves_a_stale_pointer_that_names_it(store):
    shutil.rmtree(store.files.path("models/a/logits"))
    found = serious(store)
    assert found["models/a/logits/data/own/manifest.json"] == "missing"


def test_a_damaged_manifest_of_a_data_set_costs_nothing_else(store):
    before = store.samples("data")
    path = store.files.path("datasets/data/manifest.json")
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(bytes(data))
    problems = verify(LocalFiles(store.files.root))
    assert [(p.file, p.state) for p in problems] == [("datasets/data/manifest.json", "damaged")]
    assert repair(store.files, problems) == []
    assert verify(LocalFiles(store.files.root)) == []
    assert Store(LocalFiles(store.files.root)).samples("data").equals(before)


def test_a_newer_store_is_not_swept(store):
    from embedstore.errors import StoreError
    from embedstore.store.records import write_record

    store.files.replace("embedstore.json", write_record({"format": 2}))
    with pytest.raises(StoreError, match="newer than 1"):
        verify(store.files)


def test_a_missing_pointer_is_written_again(store):
    store.files.path("runs/a/data.json").unlink()
    problems = verify(store.files)
    assert [(p.file, p.state) for p in problems] == [("runs/a/data.json", "stale")]
    repair(store.files, problems)
    assert verify(store.files) == []
