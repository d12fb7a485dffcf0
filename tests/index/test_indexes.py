"""Indexes in a store: what they find, how much of it, and what becomes of stale and broken ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from embedstore import Store
from embedstore.errors import DamagedError, EmbedStoreError, MissingExtraError, StoreError
from embedstore.index import building, kinds, library
from embedstore.index.building import build, load, place_of
from embedstore.index.catalogue import indexes_table, planned, removable_indexes, remove_indexes
from embedstore.index.exact import nearest
from embedstore.index.kinds import KINDS, Size, choose
from embedstore.index.opened import Index
from embedstore.index.recall import sampled
from embedstore.index.searching import search_over
from embedstore.index.subject import Subject
from embedstore.store.indexes import FILE
from embedstore.store.maintenance import Selection, copy, remove, summary
from embedstore.store.manifest import FileEntry, Manifest, read_manifest, write_manifest
from embedstore.store.repair import repair
from embedstore.store.verify import verify
from embedstore.testing.given import Given, given_store
from embedstore.testing.stores import random_store
from embedstore.testing.texts import add_prompts

faiss = pytest.importorskip("faiss")


@pytest.fixture
def subject(store) -> Subject:
    return Subject.open(store, "model", dataset="data")


def truth(subject, queries, k, metric):
    x = np.asarray(subject.embeddings, np.float32)
    return nearest(queries, [x], k, metric=metric, normalize=metric == "ip")


def share_found(found, expected):
    pairs = zip(found.rows, expected.rows, strict=True)
    return np.mean([len(set(f) & set(e)) / len(e) for f, e in pairs])


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_flat_finds_exactly_what_a_matrix_product_does(subject, queries, metric):
    index, made = build(subject, kind="flat", metric=metric)
    found, expected = index.nearest(queries, 30), truth(subject, queries, 30, metric)
    assert made
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
def test_others_reach_the_recall_that_they_say(subject, queries, kind, metric):
    index, _ = build(subject, kind=kind, metric=metric)
    expected = truth(subject, queries, 10, metric)
    found = index.nearest(queries, 10)
    assert index.facts["recall_at_10"] >= 0.95
    assert share_found(found, expected) >= 0.93  # of 400 other queries
    same = found.rows == expected.rows
    np.testing.assert_allclose(found.scores[same], expected.scores[same], rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_found_by_itself_and_failed_pictures_never(subject, kind):
    """Rows map back, also those that were held out to measure recall."""
    index, _ = build(subject, kind=kind, metric="l2")
    embeddings = np.asarray(subject.embeddings, np.float32)[subject.rows]
    found = index.nearest(embeddings, 1).rows[:, 0]
    assert (found == subject.rows).mean() > (0.999 if kind == "flat" else 0.97)
    held_out = np.isin(subject.rows, sampled(subject))
    assert (found == subject.rows)[held_out].mean() > 0.95
    every = index.nearest(embeddings[:3], subject.n_rows)
    np.testing.assert_array_equal(np.sort(every.rows, axis=1), [subject.rows] * 3)
    assert set(subject.failed) == set(range(len(subject.embeddings))) - set(every.rows[0])


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
def test_recall_is_of_queries_that_the_index_did_not_hold(subject, kind):
    """The figure it keeps is that of the rows held out, looked for among the others."""
    index, _ = build(subject, kind=kind)
    held_out = sampled(subject)
    assert index.facts["queries"] == held_out.tolist()
    assert len(held_out) == subject.n_rows // 10
    embeddings = np.asarray(subject.embeddings, np.float32)
    others = embeddings.copy()
    others[held_out] = np.nan
    expected = nearest(embeddings[held_out], [others], 10, normalize=True)
    found = index.nearest(embeddings[held_out], 30)  # the held-out ones are among them by now
    kept = [[row for row in rows if row not in set(held_out)][:10] for rows in found.rows]
    pairs = zip(kept, expected.rows, strict=True)
    recall = np.mean([len(set(k) & set(e)) / 10 for k, e in pairs])
    assert index.facts["recall_at_10"] == pytest.approx(recall, abs=0.03)


@pytest.mark.parametrize("scale", [1, 2e-3])
def test_recall_is_that_of_embeddings_of_any_length(tmp_path, scale):
    random = np.random.default_rng(0)
    rows, queries = (scale * random.normal(size=(n, 32)).astype(np.float32) for n in (4_000, 300))
    store = given_store(tmp_path / "s", {"data": Given(rows)})
    subject = Subject.open(store, "model", dataset="data")
    index, _ = build(subject, kind="ivf", metric="l2")
    found, expected = index.nearest(queries, 10), truth(subject, queries, 10, "l2")
    assert index.facts["recall_at_10"] == pytest.approx(share_found(found, expected), abs=0.03)


def test_a_sample_is_the_same_whatever_else_there_is(tmp_path, subject):
    again = given_store(tmp_path / "t", {"data": Given(np.asarray(subject.embeddings))})
    np.testing.assert_array_equal(
        sampled(Subject.open(again, "model", dataset="data")), sampled(subject)
    )


def test_a_second_build_finds_the_first(subject):
    place = place_of(subject, "hnsw", "ip")
    _, made = build(subject, kind="hnsw")
    digest = read_manifest(subject.store.files, place.folder).digest
    _, again = build(subject, kind="hnsw")
    assert (made, again) == (True, False)
    assert read_manifest(subject.store.files, place.folder).digest == digest
    assert verify(subject.store.files) == []


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_about_those_foretold(subject, kind):
    (foretold,) = planned(subject, kind, "ip").rows(named=True)
    build(subject, kind=kind)
    (built,) = planned(subject, kind, "ip").rows(named=True)
    assert (foretold["state"], built["state"]) == ("to build", "built")
    assert foretold["n_bytes"] == pytest.approx(built["n_bytes"], rel=0.05)
    assert (built["n_rows"], built["n_left_out"]) == (len(subject.rows), len(subject.failed))


@pytest.mark.parametrize(
    ("n_rows", "dim", "memory", "expected"),
    [
        (50_000, 512, 2**34, "flat"),
        (131_072, 512, 2**34, "flat"),
        (131_073, 512, 2**34, "hnsw"),
        (1_281_167, 512, 2**34, "ivf"),
        (1_281_167, 1024, 2**33, "ivfpq"),
        (200_000, 512, 2**28, "ivfpq"),
    ],
)
def test_auto_goes_by_size_and_memory(n_rows, dim, memory, expected):
    assert choose("auto", Size(n_rows, dim), memory) == expected
    assert choose("ivf", Size(n_rows, dim), memory) == "ivf"


@pytest.mark.parametrize("n_rows", [1, 2, 5, 19, 20, 45, 280])
@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_will_do(tmp_path, capfd, n_rows, kind):
    embeddings = np.random.default_rng(0).normal(size=(n_rows, 7))
    store = given_store(tmp_path / "s", {"data": Given(embeddings)})
    index, _ = build(Subject.open(store, "model", dataset="data"), kind=kind)
    found = index.nearest(embeddings.astype(np.float32), n_rows)
    np.testing.assert_array_equal(np.sort(found.rows, axis=1), [np.arange(n_rows)] * n_rows)
    if n_rows >= 20:
        assert 0 <= index.facts["recall_at_10"] <= 1
    assert capfd.readouterr() == ("", "")  # FAISS warns of few rows, to no use


def test_all_pictures_failed(tmp_path):
    store = given_store(tmp_path / "s", {"data": Given(np.full((4, 3), np.nan))})
    subject = Subject.open(store, "model", dataset="data")
    with pytest.raises(EmbedStoreError, match="there is nothing to search"):
        build(subject)
    with pytest.raises(EmbedStoreError, match="there is nothing to search"):
        search_over(subject).nearest(np.ones((1, 3), np.float32), 1)


def test_bad_queries_of_an_index(subject):
    index, _ = build(subject, kind="ivf")
    with pytest.raises(EmbedStoreError, match="choose a k from 1 to 1997"):
        index.nearest(np.ones((1, 24), np.float32), 1_998)
    with pytest.raises(EmbedStoreError, match="queries have 3 dimensions, the index of 'data' has"):
        index.nearest(np.ones((1, 3), np.float32), 1)
    with pytest.raises(EmbedStoreError, match="query 0 holds NaN"):
        index.nearest(np.full((1, 24), np.nan, np.float32), 1)


def test_a_text_set_is_searched_too(store, queries):
    rows = np.random.default_rng(5).normal(size=(60, 24)).astype(np.float32)
    name = add_prompts(store, "model", "words", ["a"], rows, [0] * 60)
    subject = Subject.open(store, "model", texts=name)
    index, _ = build(subject, kind="hnsw")
    expected = nearest(queries, [rows], 5, normalize=True)
    assert share_found(index.nearest(queries, 5), expected) > 0.99
    assert indexes_table(store)["part"].to_list() == ["texts"]
    with pytest.raises(EmbedStoreError, match="name one thing to search"):
        Subject.open(store, "model", texts=name, dataset="data")


# What the store knows of indexes


def test_the_store_counts_copies_and_removes_them(subject, tmp_path):
    store = subject.store
    build(subject, kind="ivf")
    build(subject, kind="flat", metric="l2")
    rows = summary(store).filter(head="indexes/ivf-ip")
    manifest = read_manifest(store.files, place_of(subject, "ivf", "ip").folder)
    assert rows.select("dataset", "n_rows", "n_failures", "n_bytes", "state").rows() == [
        ("data", 1_997, 3, manifest.n_bytes, "finished")
    ]
    target = Store.open(tmp_path / "t", create=True)
    copy(store, target)
    assert verify(target.files) == []
    assert indexes_table(target).equals(indexes_table(store))
    copied = load(Subject.open(target, "model", dataset="data"), "ivf", "ip")
    queries = np.asarray(subject.embeddings[5:9], np.float32)
    np.testing.assert_array_equal(
        copied.nearest(queries, 4).rows, load(subject, "ivf", "ip").nearest(queries, 4).rows
    )
    assert copy(store, target) == 0
    remove(target, Selection("model", "data"))
    assert verify(target.files) == []
    assert indexes_table(target).is_empty()


def test_large_files_are_copied_without_being_read_whole(subject, tmp_path, monkeypatch):
    build(subject, kind="flat")
    monkeypatch.setattr("embedstore.store.maintenance.LARGE", 1_000)
    target = Store.open(tmp_path / "t", create=True)
    copy(subject.store, target)
    assert verify(target.files) == []
    key = f"{place_of(subject, 'flat', 'ip').folder}/{FILE}"
    assert target.files.read(key) == subject.store.files.read(key)


def test_some_are_removed_by_name_and_the_rest_stays(subject):
    for metric in ("ip", "l2"):
        build(subject, kind="flat", metric=metric)
    build(subject, kind="hnsw")
    chosen = removable_indexes(subject.store, "model", kind="flat", metric="l2")
    remove_indexes(subject.store, chosen)
    left = indexes_table(subject.store).select("kind", "metric").rows()
    assert left == [("flat", "ip"), ("hnsw", "ip")]
    with pytest.raises(EmbedStoreError, match="choose one of: data/flat-ip, data/hnsw-ip"):
        removable_indexes(subject.store, "model", kind="ivf")
    assert verify(subject.store.files) == []


def encoded_anew(store, seed):
    """Replace the model's run by one of other embeddings."""
    shutil.rmtree(store.files.path("models/model/images/data"))
    embeddings = np.random.default_rng(seed).normal(size=(2_000, 24))
    given_store(store.files.root, {"data": Given(embeddings)})
    return Subject.open(store, "model", dataset="data")


def test_a_stale_index_is_refused_built_anew_and_harmless(tmp_path, queries):
    embeddings = np.random.default_rng(0).normal(size=(2_000, 24))
    store = given_store(tmp_path / "s", {"data": Given(embeddings)})
    build(Subject.open(store, "model", dataset="data"), kind="ivf")
    subject = encoded_anew(store, 1)
    assert indexes_table(store)["state"].to_list() == ["stale"]
    assert summary(store).filter(head="indexes/ivf-ip")["state"].to_list() == ["stale"]
    (problem,) = verify(store.files)
    assert (problem.state, problem.harmless) == ("stale", True)
    with pytest.raises(StoreError, match="of embeddings that are gone; build it with: embedstore"):
        load(subject, "ivf", "ip")
    target = Store.open(tmp_path / "t", create=True)
    copy(store, target)
    assert indexes_table(target).is_empty()  # not worth a copy
    notices = []
    search = search_over(subject, notice=notices.append)
    assert notices == ["the embeddings of data have changed: building its ivf index anew"]
    assert share_found(search.nearest(queries, 10), truth(subject, queries, 10, "ip")) > 0.9
    assert (verify(store.files), indexes_table(store)["state"].to_list()) == ([], ["built"])


def test_repair_sweeps_what_is_stale(tmp_path):
    store = random_store(tmp_path / "s")
    build(Subject.open(store, "model", dataset="data"))
    shutil.rmtree(store.files.path("models/model/images/data"))
    repair(store.files, verify(store.files))
    assert indexes_table(store).is_empty()
    assert not store.files.path("models/model/indexes").exists()


def damaged(path, how):
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    path.unlink()
    if how != "missing":
        path.write_bytes(data[:-100] if how == "truncated" else b"" if how == "empty" else data)


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "missing"])
def test_a_broken_file_is_named_and_built_anew(subject, how):
    build(subject, kind="hnsw")
    place, fresh = place_of(subject, "hnsw", "ip"), Store.open(subject.store.files.root)
    damaged(fresh.files.path(f"{place.folder}/{FILE}"), how)
    subject = Subject.open(fresh, "model", dataset="data")
    with pytest.raises(DamagedError, match=r"hnsw-ip is damaged; build it with: .*--kind hnsw"):
        load(subject, "hnsw", "ip")
    (problem,) = verify(fresh.files)
    assert problem.harmless
    _, made = build(subject, kind="hnsw")
    assert (made, verify(fresh.files)) == (True, [])


def test_a_broken_manifest_is_built_anew(subject):
    build(subject, kind="flat")
    path = subject.store.files.path(f"{place_of(subject, 'flat', 'ip').folder}/manifest.json")
    path.write_bytes(path.read_bytes()[:-5])
    assert verify(subject.store.files)
    _, made = build(subject, kind="flat")
    assert (made, verify(subject.store.files)) == (True, [])


def test_a_broken_manifest_is_told_beside_the_others(subject):
    for kind in ("flat", "ivf"):
        build(subject, kind=kind)
    subject.store.files.path(f"{place_of(subject, 'flat', 'ip').folder}/manifest.json").write_bytes(
        b""
    )
    listed = indexes_table(subject.store).select("kind", "state").rows()
    assert listed == [("flat", "damaged"), ("ivf", "built")]


def test_an_index_of_another_kind_is_not_taken_for_it(subject):
    build(subject, kind="ivf")
    folders = [subject.store.files.path(place_of(subject, k, "ip").folder) for k in ("ivf", "hnsw")]
    shutil.copytree(*folders)
    with pytest.raises(DamagedError, match="hnsw-ip is of something else; build it with"):
        load(subject, "hnsw", "ip")
    index, made = build(subject, kind="hnsw")
    assert (made, index.facts["kind"]) == (True, "hnsw")


def put_in_place(subject, data):
    """Commit other bytes as the flat index."""
    files, folder = subject.store.files, place_of(subject, "flat", "ip").folder
    facts = dict(read_manifest(files, folder).facts)
    files.delete_folder(folder)
    files.create(f"{folder}/{FILE}", data)
    write_manifest(files, folder, Manifest("index", {FILE: FileEntry.of(data)}, facts))


def test_a_file_that_faiss_cannot_read(subject):
    build(subject, kind="flat")
    put_in_place(subject, b"no index at all")
    with pytest.raises(DamagedError, match="flat-ip is damaged; build it with"):
        load(subject, "flat", "ip")


@pytest.mark.parametrize(
    ("n_rows", "dim", "l2"), [(1_997, 23, False), (1_998, 24, False), (1_997, 24, True)]
)
def test_an_index_of_something_else(subject, n_rows, dim, l2):
    build(subject, kind="flat")
    other = faiss.IndexFlatL2(dim) if l2 else faiss.IndexFlatIP(dim)
    other.add(np.ones((n_rows, dim), np.float32))
    put_in_place(subject, faiss.serialize_index(other).tobytes())
    with pytest.raises(DamagedError, match="is of something else; build it with"):
        load(subject, "flat", "ip")


def test_what_a_killed_builder_left_is_swept(subject):
    files, folder = subject.store.files, place_of(subject, "hnsw", "ip").folder
    files.create(f"{folder}/{FILE}", b"half an index")
    assert [(p.file, p.state) for p in verify(files)] == [(f"{folder}/{FILE}", "leftover")]
    _, made = build(subject, kind="hnsw")
    assert (made, verify(files)) == (True, [])


def test_of_builders_that_race_the_first_ones_index_stays(subject, monkeypatch):
    place, filled, first = place_of(subject, "hnsw", "ip"), building._filled, []

    def while_another_builds(*arguments):
        monkeypatch.setattr(building, "_filled", filled)
        build(subject, kind="hnsw")
        first.append(subject.store.files.path(f"{place.folder}/{FILE}").stat())
        return filled(*arguments)

    monkeypatch.setattr(building, "_filled", while_another_builds)
    build(subject, kind="hnsw")
    there = subject.store.files.path(f"{place.folder}/{FILE}").stat()
    assert (there.st_ino, there.st_mtime_ns) == (first[0].st_ino, first[0].st_mtime_ns)
    assert verify(subject.store.files) == []


def test_candidates_of_ivfpq_are_held_few_queries_at_a_time(subject, queries, monkeypatch):
    index, _ = build(subject, kind="ivfpq")
    expected = index.nearest(queries, 100)
    asked, by_embeddings = [], Index._by_embeddings

    def noted(self, part, candidates, k):
        asked.append(candidates.size)
        return by_embeddings(self, part, candidates, k)

    monkeypatch.setattr(Index, "_by_embeddings", noted)
    monkeypatch.setattr("embedstore.index.opened.HELD_CANDIDATES", 10_000)
    found = index.nearest(queries, 100)
    assert (max(asked), len(asked)) == (10_000, 16)
    np.testing.assert_array_equal(found.rows, expected.rows)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="lists no mapped files")
def test_the_index_is_mapped_not_read(subject):
    build(subject, kind="flat")
    index = load(subject, "flat", "ip")
    key = f"{place_of(subject, 'flat', 'ip').folder}/{FILE}"
    assert str(subject.store.files.path(key)) in Path("/proc/self/maps").read_text("utf-8")
    assert index.faiss.ntotal == 1_997


# Which index answers


def test_the_best_index_answers_unless_another_is_asked_for(subject, queries):
    assert search_over(subject).how == "exact"
    build(subject, kind="ivf")
    said = search_over(subject).how
    assert said.startswith("ivf, recall@10 0.9") or said == "ivf, recall@10 1.000"
    assert search_over(subject, metric="l2").how == "exact"
    assert search_over(subject, kind="exact").index is None
    assert search_over(subject, kind="auto").how == "exact"  # flat, and none is needed
    build(subject, kind="flat")
    assert search_over(subject).index.facts["recall_at_10"] == 1
    with pytest.raises(StoreError, match=r"no index .*hnsw-ip; build it with: .* --kind hnsw"):
        search_over(subject, kind="hnsw")


def test_without_faiss_flat_search_finds_the_same(subject, queries, without_faiss):
    build(subject, kind="flat")
    expected = search_over(subject, kind="flat").nearest(queries, 20)
    without_faiss()
    for kind in (None, "flat", "auto", "exact"):
        search = search_over(subject, kind=kind)
        assert search.index is None
        np.testing.assert_array_equal(search.nearest(queries, 20).rows, expected.rows)
    with pytest.raises(MissingExtraError, match=r"pip install 'embedstore\[cpu\]'"):
        build(subject, kind="flat")
    assert planned(subject, "hnsw", "ip")["state"].to_list() == ["to build"]


def test_without_faiss_other_kinds_name_the_install_line(subject, without_faiss):
    build(subject, kind="ivf")
    without_faiss()
    with pytest.raises(MissingExtraError, match=r"pip install 'embedstore\[cpu\]'"):
        search_over(subject, kind="ivf")


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["flat", "ivf", "ivfpq"])
def test_a_gpu_finds_the_same(subject, kind):
    if library.faiss().get_num_gpus() == 0:
        pytest.skip("this FAISS finds no GPU")
    index, _ = build(subject, kind=kind)
    embeddings = np.asarray(subject.embeddings, np.float32)[subject.rows]
    on_gpu = index.nearest(embeddings, 10)
    parts = [index.nearest(embeddings[i : i + 500], 10) for i in range(0, len(embeddings), 500)]
    same = on_gpu.rows == np.concatenate([part.rows for part in parts])
    assert same.mean() > 0.999  # what rounding parts may be in another order


def test_the_free_memory_is_that_of_a_machine():
    assert 2**20 < kinds.free_memory() < 2**50
