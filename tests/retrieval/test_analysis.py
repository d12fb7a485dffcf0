"""The table of retrieval: rows, metrics by name, and stamps in four languages."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis
from embedstore.across.figures import figures
from embedstore.errors import EmbedStoreError
from embedstore.schema.retrieval import RETRIEVAL
from embedstore.testing.captioned import Captions, captioned_store

LANGUAGES = ("captions", "captions-de", "captions-es", "captions-fr")
DIRECTIONS = ("image-to-text", "text-to-image")
KS = (1, 5, 10)
TIES = ("pessimistic", "expected")


def captions_of(random, n_pictures, n_captions, vectors):
    """Captions in any order, some of them empty; equal texts have one embedding."""
    kind = random.integers(0, n_captions, n_captions)
    texts = ["" if k % 9 == 0 else f"caption {k}" for k in kind]
    embeddings = vectors(random, n_captions, 30)[kind] * np.float32(random.uniform(1, 4))
    return Captions(texts, random.integers(0, n_pictures, n_captions).tolist(), embeddings)


def assert_row(row, expected, k):
    assert row["recall"] == pytest.approx(np.mean([a.recalls[KS.index(k)] for a in expected]))
    assert row["median_rank"] == np.median([a.rank for a in expected])
    assert row["mrr"] == pytest.approx(np.mean([a.reciprocal_rank for a in expected]))
    assert row["map"] == pytest.approx(np.mean([a.average_precision for a in expected]), abs=1e-14)
    assert row["n_queries"] == len(expected)
    for name in ("recall", "mrr", "map"):
        assert row[f"{name}_low"] <= row[name] + 1e-12
        assert row[name] <= row[f"{name}_high"] + 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_a_store_against_the_definitions(tmp_path, exact_vectors, by_definition, seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(16, 30))
    failed = random.choice(n, 3, replace=False).tolist()
    pictures = exact_vectors(random, n, 20)
    given = captions_of(random, n, 60, exact_vectors)
    store = captioned_store(tmp_path / "s", pictures, {"captions": given}, failed=failed)
    read = [i for i in range(n) if i not in failed]
    kept = [
        m for m, (t, i) in enumerate(zip(given.texts, given.picture_of, strict=True))
        if t and i in read
    ]  # fmt: skip
    captions = given.embeddings[kept]
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    scores = pictures[read] @ captions.T
    picture_of = [read.index(given.picture_of[m]) for m in kept]
    texts = [given.texts[m] for m in kept]
    for positives in ("same-text", "own"):
        found = analysis.run("retrieval", store, positives=positives)
        assert dict(found.schema) == dict(RETRIEVAL)
        assert found["k"].to_list() == [*KS, *KS]
        for row in found.to_dicts():
            expected = by_definition(
                scores, picture_of, texts, row["direction"], positives, KS, "pessimistic"
            )
            assert_row(row, expected, row["k"])
            to_text = row["direction"] == "image-to-text"
            assert row["n_gallery"] == (len(kept) if to_text else len(read))
            assert row["n_left_out"] == (n if to_text else 60) - row["n_queries"]


def test_captions_in_another_order_change_nothing(tmp_path, exact_vectors):
    random = np.random.default_rng(3)
    pictures, given = exact_vectors(random, 30, 25), captions_of(random, 30, 90, exact_vectors)
    order = random.permutation(90)
    other = Captions(
        [given.texts[i] for i in order],
        [given.picture_of[i] for i in order],
        given.embeddings[order],
    )
    tables = []
    for name, captions in (("a", given), ("b", other)):
        store = captioned_store(tmp_path / name, pictures, {"captions": captions})
        both = [analysis.run("retrieval", store, ties=t) for t in TIES]
        tables.append(pl.concat(both).drop(pl.selectors.ends_with("_low", "_high")))
    assert tables[0].drop("mrr", "map", "recall").equals(tables[1].drop("mrr", "map", "recall"))
    for column in ("mrr", "map", "recall"):
        np.testing.assert_allclose(*(table[column] for table in tables), rtol=1e-12)


@pytest.fixture
def two_languages(tmp_path) -> Store:
    random = np.random.default_rng(0)
    texts, rows = [f"text {i}" for i in range(40)], np.repeat(np.arange(20), 2).tolist()
    embeddings = [random.normal(size=(40, 8)) for _ in range(2)]
    given = {
        name: Captions(texts, rows, e)
        for name, e in zip(("captions", "captions-de"), embeddings, strict=True)
    }
    store = captioned_store(tmp_path / "s", random.normal(size=(20, 8)), given, dataset="pair")
    one = {"captions": given["captions"]}
    return captioned_store(store.files.root, random.normal(size=(20, 8)), one, dataset="coco")


def test_a_metric_finds_one_row_a_model(two_languages):
    table = analysis.run("retrieval", two_languages)
    (row,) = table.filter(dataset="coco", direction="text-to-image", k=5).to_dicts()
    metric = "retrieval.recall?dataset=coco&direction=text-to-image&k=5"
    (figure,) = figures(two_languages, metric).to_dicts()
    assert (figure["model"], figure["value"], figure["n_samples"]) == ("model", row["recall"], 40)
    metric = "retrieval.recall?dataset=pair&direction=text-to-image&k=5"
    with pytest.raises(EmbedStoreError, match=r"differ in texts .* with texts=captions--pair"):
        figures(two_languages, metric)
    (row,) = table.filter(
        dataset="pair", texts="captions-de--pair", direction="text-to-image", k=5
    ).to_dicts()
    (figure,) = figures(two_languages, f"{metric}&texts=captions-de--*").to_dicts()
    assert figure["value"] == row["recall"]


def test_k_that_is_no_number_is_refused(two_languages):
    for k in ("", "0", "1,-5", "1.5", "five"):
        with pytest.raises(EmbedStoreError, match="give whole numbers from 1 on"):
            analysis.run("retrieval", two_languages, k=k)
    found = analysis.run("retrieval", two_languages, datasets="coco", k=" 5, 1,5")
    assert found["k"].to_list() == [1, 5, 1, 5]
    with pytest.raises(
        EmbedStoreError,
        match=r"k = 21 is more than the 20 candidates text-to-image of model 'model' in data set "
        r"'coco' with 'captions--coco'; give --k 1,5, or leave 'coco' out, such as --datasets pair",
    ):
        analysis.run("retrieval", two_languages, k="1,5,21")
    with pytest.raises(EmbedStoreError, match=r"the 40 candidates image-to-text .* give --k 40$"):
        analysis.run("retrieval", two_languages, k="41", datasets="coco")
    assert analysis.run("retrieval", two_languages, k="21", direction="image-to-text").height == 3


def test_captions_without_the_name_of_their_data_set(two_languages):
    found = analysis.run("retrieval", two_languages, texts="captions", k="1")
    expected = [("coco", "captions--coco")] * 2 + [("pair", "captions--pair")] * 2
    assert found.select("dataset", "texts").rows() == expected
    whole = analysis.run("retrieval", two_languages, texts="captions-de--pair")
    assert analysis.run("retrieval", two_languages, texts="captions-de").equals(whole)
    with pytest.raises(EmbedStoreError, match="unknown caption set 'caption'; choose one of: "):
        analysis.run("retrieval", two_languages, texts="caption")


def test_choices_of_clip_benchmark_and_those_that_are_given(tmp_path, exact_vectors):
    random = np.random.default_rng(4)
    given = captions_of(random, 20, 80, exact_vectors)
    pictures = exact_vectors(random, 20, 15)
    store = captioned_store(tmp_path / "s", pictures, {"captions": given})
    theirs = {"convention": "clip-benchmark"}
    both = ({"positives": p, "ties": t} for p in ("own", "same-text") for t in TIES)
    tables = {tuple(rules.values()): analysis.run("retrieval", store, **rules) for rules in both}
    for i, one in enumerate(tables.values()):
        assert not any(one.equals(other) for other in list(tables.values())[:i])
    assert analysis.run("retrieval", store).equals(tables["same-text", "pessimistic"])
    assert analysis.run("retrieval", store, **theirs).equals(tables["own", "expected"])
    found = analysis.run("retrieval", store, **theirs, positives="same-text")
    assert found.equals(tables["same-text", "expected"])
    found = analysis.run("retrieval", store, **theirs, ties="pessimistic")
    assert found.equals(tables["own", "pessimistic"])


def test_a_store_without_models_has_an_empty_table(tmp_path):
    found = analysis.run("retrieval", Store.open(tmp_path / "s", create=True))
    assert found.is_empty()
    assert dict(found.schema) == dict(RETRIEVAL)


def scores_of(store, name):
    """(N, M) cosines, and captions."""
    _, texts = store.texts(name)
    pictures = np.asarray(store.embeddings("image-text", "stamps")).astype(np.float32)
    captions = np.asarray(store.text_embeddings("image-text", name))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (pictures, captions)]
    return unit[0] @ unit[1].T, texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_stamps_in_four_languages(real_store, by_definition, language):
    name = f"{language}--stamps"
    scores, texts = scores_of(real_store, name)
    assert texts["text"].n_unique() < texts.height == 204
    said = texts["text"].to_list()
    scores = scores[:, [said.index(text) for text in said]]  # equal texts have one embedding
    found = analysis.run("retrieval", real_store, texts=name, datasets="stamps")
    assert found.height == 6
    for row in found.to_dicts():
        expected = by_definition(
            scores, texts["sample_index"], said, row["direction"], "same-text", KS, "pessimistic"
        )
        assert_row(row, expected, row["k"])


def clip_benchmark_recall(scores, pairs, k):
    """As clip_benchmark.metrics.zeroshot_retrieval.recall_at_k computes it: top k, one-hot, sum."""
    torch = pytest.importorskip("torch")
    scores, positive_pairs = torch.from_numpy(scores), torch.from_numpy(pairs)
    topk = torch.topk(scores, k, dim=1)[1]
    onehot = torch.nn.functional.one_hot(topk, num_classes=scores.shape[1])
    found = (onehot * positive_pairs.reshape(len(scores), 1, -1)).sum(dim=(1, 2))
    return (found > 0).float().mean().item()


@pytest.mark.parametrize("language", LANGUAGES)
def test_clip_benchmarks_formula_gives_the_same_where_nothing_ties(real_store, tmp_path, language):
    _, texts = real_store.texts(f"{language}--stamps")
    every = np.asarray(real_store.text_embeddings("image-text", f"{language}--stamps"))
    # not first of equal texts: the tokenizer knows neither capitals nor accents
    rows = np.sort(np.unique(every, axis=0, return_index=True)[1])
    pictures = np.asarray(real_store.embeddings("image-text", "stamps"))[
        texts["sample_index"].gather(rows)
    ]
    captions = every[rows]
    given = Captions(texts["text"].gather(rows), range(len(rows)), captions)
    store = captioned_store(tmp_path / "s", pictures, {"captions": given})
    unit = [
        x / np.linalg.norm(x, axis=1, keepdims=True)
        for x in (pictures.astype(np.float32), captions)
    ]
    scores = unit[0] @ unit[1].T
    ties = scores == np.diag(scores)  # of a caption's own picture, and of a picture's own caption
    assert ties.sum() == (scores == np.diag(scores)[:, None]).sum() == len(rows)
    pairs = np.eye(len(rows), dtype=bool)
    for row in analysis.run("retrieval", store).to_dicts():
        asked = scores if row["direction"] == "image-to-text" else scores.T
        theirs = clip_benchmark_recall(np.ascontiguousarray(asked), pairs, row["k"])
        assert row["recall"] == pytest.approx(theirs, abs=1e-6)


def test_english_captions_find_more_than_chance_from_the_command_line(real_store):
    words = ("analyze", "retrieval", real_store.files.root, "--k", "1", "--format", "json")
    done = CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    rows = pl.DataFrame(json.loads(done.stdout), schema=RETRIEVAL)
    assert rows.height == 8
    english = rows.filter(texts="captions--stamps")
    assert (english["recall_low"] > 10 / 204).all()
    own = analysis.run("retrieval", real_store, texts="captions--stamps", k="1", positives="own")
    assert (own["recall"] < english["recall"]).all()  # captions repeat across pictures
