"""Sets of pairs in a store: the same bits again, in memory that does not grow, and all commands."""

from __future__ import annotations

import shutil
import weakref
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from embedstore import Store, schema
from embedstore.correspondence import stored
from embedstore.correspondence.pairs import Pair, View
from embedstore.correspondence.stored import load_pairs, pair_sets, save_pairs
from embedstore.differences.comparing import diff
from embedstore.errors import DamagedError, DatasetError, IdentityError, StoreError
from embedstore.errors import UnknownNameError as Unknown
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.files import LocalFiles
from embedstore.store.maintenance import Selection, copy, remove, summary
from embedstore.store.repair import repair
from embedstore.store.tables import table
from embedstore.store.verify import verify

FOLDER = "datasets/data/pairs/views"


def bare(path: Path, n_samples: int = 40) -> Store:
    """A data set `data`, and no model."""
    store = Store.open(path, create=True)
    columns = {"sample_id": [f"{i}" for i in range(n_samples)], "digest": [""] * n_samples}
    samples = table(schema.SAMPLES, columns)
    record = DatasetRecord("data", "none", "data", (), (), n_samples, fingerprint(samples, ()))
    save_dataset(store.files, record, samples)
    return store


@pytest.fixture
def store(tmp_path) -> Store:
    return bare(tmp_path / "s")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(stored, "BLOCK_PAIRS", 4)


def of_depth(i: int, shape=(3, 5)) -> Pair:
    random = np.random.default_rng(i)
    bits = random.integers(0, 2**32, (2, *shape), dtype=np.uint32)  # any float32, NaN's payloads
    cameras, pose = random.normal(size=(2, 3, 3)), random.normal(size=(4, 4))
    first, second = (
        View(i + side, 20, 12, bits[side].view(np.float32), 4, cameras[side]) for side in (0, 1)
    )
    return Pair(first, second, pose=pose)


def of_keypoints(i: int) -> Pair:
    random = np.random.default_rng(i)
    points = random.normal(size=(i % 3, 4))
    return Pair(
        View(i, 9, 7), View(0, 8, 6), keypoints=points, box=random.normal(size=4), group="é"
    )


def of_homography(i: int) -> Pair:
    matrix = np.random.default_rng(i).normal(size=(3, 3))
    return Pair(View(i, 9, 7, stride=2), View(0, 8, 6, stride=2), homography=matrix)


def of_disparity(i: int) -> Pair:
    pair = of_depth(i)
    return Pair(replace(pair.first, intrinsics=None), View(3, 20, 12))


def same(a: object, b: object) -> bool:
    """Whether two values are the same, bit for bit."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
    if isinstance(a, Pair | View):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return a == b and type(a) is type(b)


def save(store: Store, pairs: list[Pair], truth="depth", n_pairs: int | None = None, **facts):
    save_pairs(store, "data", "views", truth, iter(pairs), n_pairs or len(pairs), facts)


def views(store: Store) -> list[Pair]:
    return [pair for block in load_pairs(store, "data", "views").blocks() for pair in block]


@pytest.mark.parametrize(
    ("truth", "make"),
    [
        ("depth", of_depth),
        ("disparity", of_disparity),
        ("homography", of_homography),
        ("keypoints", of_keypoints),
    ],
)
def test_pairs_come_back_bit_for_bit(store, truth, make):
    pairs = [make(i) for i in range(10)]
    save(store, pairs, truth, preset=None, n_excluded={"without overlap": 2})
    found = load_pairs(store, "data", "views")
    assert (found.dataset, found.name, found.truth, found.n_pairs) == ("data", "views", truth, 10)
    assert (found.facts["preset"], found.facts["n_excluded"]) == (None, {"without overlap": 2})
    assert [len(block) for block in found.blocks()] == [4, 4, 2]
    assert all(map(same, views(store), pairs))
    assert pair_sets(store, "data") == ["views"]


def test_grids_of_several_sizes_and_large_ones_make_smaller_blocks(store, monkeypatch):
    monkeypatch.setattr(stored, "BLOCK_BYTES", 3 * 2 * 15 * 4)
    pairs = [of_depth(0), of_depth(1, (7, 2)), of_depth(2, (1, 1)), of_depth(3)]
    save(store, pairs)
    assert [len(block) for block in load_pairs(store, "data", "views").blocks()] == [3, 1]
    assert all(map(same, views(store), pairs))


def test_the_same_again_is_found_and_others_are_refused(store):
    pairs = [of_depth(i) for i in range(6)]
    save(store, pairs)
    before = store.files.read(f"{FOLDER}/manifest.json")
    save(store, pairs)
    assert store.files.read(f"{FOLDER}/manifest.json") == before
    pairs[5] = replace(pairs[5], pose=np.eye(4))
    with pytest.raises(IdentityError, match=r"has other pairs named 'views'.* --pairs views"):
        save(store, pairs)
    with pytest.raises(IdentityError, match=r"another count of rows \(6, now 5\); remove it"):
        save(store, pairs[:5])
    with pytest.raises(IdentityError, match=r"another truth \(depth, now disparity\)"):
        save(store, pairs, "disparity")


def test_what_was_begun_is_finished_and_not_read_before(store):
    pairs = [of_depth(i) for i in range(10)]

    def cut_short():
        yield from pairs[:7]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_pairs(store, "data", "views", "depth", cut_short(), 10, {})
    with pytest.raises(StoreError, match="not finished; run the same embedstore import pairs"):
        load_pairs(store, "data", "views")
    row = summary(store).filter(head="pairs/views").row(0, named=True)
    assert (row["state"], row["n_rows"], row["n_bytes"]) == ("1 of 3 blocks", 10, 0)
    kept = store.files.path(f"{FOLDER}/blocks/000000.json").stat().st_mtime_ns
    save(store, pairs)
    assert store.files.path(f"{FOLDER}/blocks/000000.json").stat().st_mtime_ns == kept
    assert all(map(same, views(store), pairs))


@pytest.mark.parametrize("n_pairs", [5, 7])
def test_another_count_of_pairs_than_was_said_is_refused(store, n_pairs):
    with pytest.raises(DatasetError, match=rf"there are not {n_pairs} pairs .* import them again"):
        save(store, [of_depth(i) for i in range(6)], n_pairs=n_pairs)
    assert pair_sets(store, "data") == []


def test_what_is_not_there_is_named(store):
    save(store, [of_depth(0)])
    with pytest.raises(Unknown, match="unknown set of pairs of data set 'data' 'x'; .*: views"):
        load_pairs(store, "data", "x")
    with pytest.raises(Unknown, match="unknown data set 'x'"):
        load_pairs(store, "x", "views")


def test_pairs_of_another_data_set_of_that_name_are_refused(store, tmp_path):
    save(store, [of_depth(0)])
    other = bare(tmp_path / "other", 41)
    shutil.copytree(store.files.path(FOLDER), other.files.path(FOLDER))
    with pytest.raises(IdentityError, match="pairs 'views' are of another data set than 'data'"):
        load_pairs(other, "data", "views")


def test_no_more_than_two_blocks_are_held_at_once(store):
    """Of 40 pairs, made one by one; so memory is that of a block, however many pairs there are."""
    alive: set[int] = set()
    most = 0

    def watched():
        nonlocal most
        for i in range(40):
            pair = of_depth(i)
            grid = np.array(pair.first.grid)
            alive.add(i)
            weakref.finalize(grid, alive.discard, i)
            pair = replace(pair, first=replace(pair.first, grid=grid))
            most = max(most, len(alive))
            del grid
            yield pair
            del pair

    save_pairs(store, "data", "views", "depth", watched(), 40, {})
    assert most <= 2 * stored.BLOCK_PAIRS
    held = [weakref.ref(b[0].first.grid) for b in load_pairs(store, "data", "views").blocks()]
    assert len(held) == 10
    assert sum(ref() is not None for ref in held) <= 1


def damaged(store: Store) -> dict[str, tuple[str, str]]:
    return {p.file: (p.state, p.cost) for p in verify(LocalFiles(store.files.root))}


def test_damage_is_found_named_and_mended_by_importing_again(store):
    pairs = [of_depth(i) for i in range(10)]
    save(store, pairs)
    assert damaged(store) == {}
    key = f"{FOLDER}/blocks/000001.pairs.parquet"
    path = store.files.path(key)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    assert damaged(store) == {key: ("damaged", "rows 4 to 7")}
    with pytest.raises(DamagedError, match=r"000001\.pairs.* then import the pairs again"):
        views(store)
    path.unlink()
    assert damaged(store) == {key: ("missing", "rows 4 to 7")}
    with pytest.raises(DamagedError, match=r"000001\.pairs.* is missing or damaged"):
        views(store)
    assert repair(store.files, verify(store.files)) == [FOLDER]
    again = Store(LocalFiles(store.files.root))
    assert pair_sets(again, "data") == []
    save(again, pairs)
    assert damaged(again) == {}
    assert all(map(same, views(again), pairs))


def test_every_file_of_a_set_is_vouched_for(store):
    save(store, [of_depth(i) for i in range(5)])
    for key in list(store.files.walk(FOLDER)):
        path = store.files.path(key)
        good = path.read_bytes()
        path.unlink()
        if not key.endswith("manifest.json"):
            assert damaged(store)[key][0] == "missing"
        path.write_bytes(good)
    assert damaged(store) == {}


def test_sets_are_copied_and_go_alone_or_with_their_data_set(store, tmp_path):
    pairs = [of_depth(i) for i in range(5)]
    save(store, pairs)
    save_pairs(store, "data", "more", "depth", iter(pairs), 5, {})
    target = Store.open(tmp_path / "t", create=True)
    copy(store, target)
    assert verify(target.files) == []
    assert all(map(same, views(target), pairs))
    assert diff(store, target).is_empty()
    with pytest.raises(Unknown, match="set of pairs of data set 'data' 'x'; choose one of: more"):
        remove(store, Selection(None, "data", "x"))
    with pytest.raises(StoreError, match="belongs to a data set alone; name it with --data"):
        remove(store, Selection(None, None, "views"))
    assert remove(target, Selection(None, "data", "views")) == [FOLDER]
    assert (pair_sets(target, "data"), target.datasets) == (["more"], ["data"])
    assert verify(target.files) == []
    remove(target, Selection(None, "data"))
    assert not list(target.files.walk("datasets"))


def test_a_set_that_differs_is_a_difference_of_two_stores(store, tmp_path):
    pairs = [of_depth(i) for i in range(5)]
    save(store, pairs)
    target = bare(tmp_path / "t")
    found = diff(store, target).select("kind", "where", "what").rows()
    assert found == [("only in A", "data / views", "pairs")]
    save(target, [*pairs[:4], of_depth(9)])
    found = diff(store, target).select("kind", "where", "what", "a", "b").rows()
    assert found == [("dataset", "data", "pairs views", "5", "5")]
    other = bare(tmp_path / "u")
    save(other, pairs, origin={"file": "another.csv"})  # the same, from elsewhere
    assert diff(store, other).is_empty()


def test_a_set_is_a_row_of_info(store):
    save(store, [of_depth(i) for i in range(5)])
    row = summary(store).row(-1, named=True)
    assert (row["model"], row["dataset"], row["head"]) == (None, "data", "pairs/views")
    assert (row["n_rows"], row["state"]) == (5, "finished")
    assert row["n_bytes"] > 0
