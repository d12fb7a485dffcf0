"""The analysis against heads, stored outcomes, scikit-learn, a naive greedy and planted truths."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score

from embedstore import Store, analysis
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads import Head, unit, zero_shot_weights
from embedstore.heads.splits import hashed
from embedstore.kernels.bins import in_bins
from embedstore.kernels.outcomes import outcomes
from embedstore.schema.sweep import PROMPT_SWEEP
from embedstore.stats.delong import delong
from embedstore.stats.intervals import clopper_pearson
from embedstore.testing.stores import random_store
from embedstore.testing.texts import add_prompts, add_zero_shot_head

from .conftest import BIAS, IDS, N_CLASSES, N_TEMPLATES, SCALE, add_templates, drawn

#: Of logits, as the store holds them: the largest probabilities are rounded to 1.
SCORES = {
    "mcm": lambda z: softmax((z.astype(np.float64) - BIAS) / SCALE, axis=1).max(axis=1),
    "msp": lambda z: outcomes(z, np.full(len(z), -1)).confidence,
    "energy": lambda z: logsumexp(z.astype(np.float64), axis=1),
    "max-logit": lambda z: z.max(axis=1),
}


def sweep(store: Store, **options) -> pl.DataFrame:
    found = analysis.find("prompt-sweep")(store, **({"datasets": "id"} | options))
    assert found.schema == dict(PROMPT_SWEEP)
    return found


def head_of(store: Store, name: str, only: list[int] | None = None) -> Head:
    """The zero-shot head of a text set, or of some of its templates, as encoding makes it."""
    record, frame = store.texts(name)
    kept = np.ones(frame.height, bool)
    if only is not None:
        kept = frame["template_index"].is_in(only).to_numpy()
    rows = np.asarray(store.text_embeddings("m", name))[kept]
    n_classes = len(record.class_ids)
    weights = zero_shot_weights(rows, frame["class_index"].to_numpy()[kept], n_classes)
    bias = np.full(n_classes, BIAS, np.float32)
    return Head(record.class_ids, weights, bias, SCALE, normalize=True)


def logits_of(store: Store, head: Head, dataset: str) -> np.ndarray:
    """Of the pictures that could be read."""
    x = np.asarray(store.embeddings("m", dataset))
    return head.logits(x[~np.isnan(x[:, 0])])


def readable_labels(store: Store) -> np.ndarray:
    return np.delete(store.samples("id")["label"].to_numpy(), [3, 129, 599])


def assert_row(row: dict, logits: np.ndarray, labels: np.ndarray) -> None:
    said = outcomes(logits, labels)
    n, k = len(labels), int(said.correct.sum())
    assert (row["n_samples"], row["top1_accuracy"]) == (n, k / n)
    assert (row["top1_low"], row["top1_high"]) == clopper_pearson(k, n)
    assert row["nll"] == pytest.approx(said.nll.mean(dtype=np.float64), abs=1e-5)
    bins = in_bins(said.confidence, said.correct, 15)
    assert row["ece"] == pytest.approx(bins.expected_calibration_error, abs=1e-6)


def test_every_row_against_the_head_that_it_stands_for(store):
    rows = sweep(store, parts="sets,templates,prefixes").to_dicts()
    every = [None, None, *([t] for t in range(4)), *(list(range(n)) for n in range(1, 5))]
    names = ["described", "four", *(f"four[{t}]" for t in range(4))]
    names += [f"four[:{n}]" for n in range(1, 5)]
    assert [row["set"] for row in rows] == names
    assert [row["part"] for row in rows] == ["set"] * 2 + ["template"] * 4 + ["prefix"] * 4
    assert [row["n_templates"] for row in rows] == [None, 4, 1, 1, 1, 1, 1, 2, 3, 4]
    for row, only in zip(rows, every, strict=True):
        head = head_of(store, row["texts"], only)
        assert_row(row, logits_of(store, head, "id"), readable_labels(store))
        assert (row["split"], row["auroc"], row["ood"], row["note"]) == ("all", None, None, None)
        assert (row["classes"], row["space"]) == ("classes", "all")
    assert rows[3]["template"] == "four 1 of a {}."


def test_whole_sets_say_what_their_stored_heads_said(store):
    table = sweep(store, parts="sets", n_bins=10).sort("texts")
    accuracy = analysis.run("accuracy", store, datasets="id", heads="*--classes").sort("head")
    errors = analysis.run(
        "calibration", store, datasets="id", heads="*--classes", n_bins=10, id_dataset="none"
    ).sort("head")
    assert table["texts"].to_list() == accuracy["head"].to_list()
    for name in ("n_samples", "top1_accuracy", "top1_low", "top1_high"):
        assert table[name].to_list() == accuracy[name].to_list()
    np.testing.assert_allclose(table["nll"], errors["nll"], atol=1e-5)
    np.testing.assert_allclose(table["ece"], errors["ece"], atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_auroc_against_scikit_learn(store, score):
    (row,) = sweep(store, texts="four", parts="sets", ood="ood", score=score).to_dicts()
    head = head_of(store, "four--classes")
    inside, outside = (SCORES[score](logits_of(store, head, name)) for name in ("id", "ood"))
    positive = np.repeat([1, 0], [len(inside), len(outside)])
    expected = roc_auc_score(positive, np.concatenate([inside, outside]))
    assert row["auroc"] == pytest.approx(expected, abs=1e-5)
    low, high = delong(inside, outside).interval()
    assert (row["auroc_low"], row["auroc_high"]) == pytest.approx((low[0], high[0]), abs=1e-5)
    assert (row["ood"], row["n_ood"], row["score"]) == ("ood", 597, score)


def naive_greedy(store: Store, most: int, seed: int) -> tuple[list[int], list[dict]]:
    """Every choice from the definition, each head made anew."""
    ids = np.delete(np.array(store.samples("id")["sample_id"].to_list()), [3, 129, 599])
    inner, labels = hashed(ids.tolist(), seed, "prompts") < 0.5, readable_labels(store)

    def said(templates: list[int], half: np.ndarray) -> tuple[float, float]:
        logits = logits_of(store, head_of(store, "four--classes", templates), "id")[half]
        found = outcomes(logits, labels[half])
        return found.correct.mean(), -found.nll.mean(dtype=np.float64)

    order: list[int] = []
    best = (-1.0, 0.0)
    while len(order) < most:
        tried = {t: said([*order, t], inner) for t in range(N_TEMPLATES) if t not in order}
        if not tried or max(tried.values()) <= best:
            break
        best = max(tried.values())
        order.append(next(t for t, value in tried.items() if value == best))
    steps = [order[: n + 1] for n in range(len(order))]
    rows = [
        {"split": split, "said": said(step, half), "n": half.sum()}
        for split, half in (("select", inner), ("held-out", ~inner))
        for step in steps
    ]
    return order, rows


@pytest.mark.parametrize(("seed", "most"), [(0, 10), (1, 10), (2, 10), (3, 1), (4, 2)])
def test_greedy_selection_against_a_naive_one(store, seed, most):
    order, expected = naive_greedy(store, most, seed)
    table = sweep(store, parts="greedy", seed=seed, max_templates=most)
    assert set(table["texts"]) == {"four--classes"}  # descriptions have no templates
    assert table["set"][-1] == f"four[{','.join(map(str, order))}]"
    assert table["split"].to_list() == [row["split"] for row in expected]
    assert table["n_samples"].to_list() == [row["n"] for row in expected]
    accuracy, nll = zip(*(row["said"] for row in expected), strict=True)
    np.testing.assert_allclose(table["top1_accuracy"], accuracy, rtol=1e-12)
    np.testing.assert_allclose(table["nll"], [-n for n in nll], atol=1e-5)


@pytest.fixture
def planted(tmp_path, add_images) -> Store:
    """300 pictures near their classes' directions, 200 far from all; the third template is best."""
    dim, n_classes = 64, 10
    ids = tuple(f"class-{i}" for i in range(n_classes))
    random = np.random.default_rng(0)
    directions = unit(random.normal(size=(n_classes, dim)).astype(np.float32))
    labels = np.arange(300) % n_classes
    store = random_store(tmp_path / "s", models=("m",), n_classes=n_classes, dim=dim)
    noise = random.normal(size=(300, dim)) / np.sqrt(dim)
    add_images(store, "id", directions[labels] + noise, labels, ids)
    add_images(store, "far", random.normal(size=(200, dim)))
    spread = np.array([9, 3, 0.1, 6])[:, None]  # of each template about the directions
    noise = random.normal(size=(n_classes, 4, dim)) / np.sqrt(dim)
    name = add_templates(store, "planted", directions[:, None] + spread * noise, ids)
    add_zero_shot_head(store, "m", name, scale=SCALE, bias=BIAS)
    return store


def test_the_template_that_is_best_is_found(planted):
    table = sweep(planted, ood="far")
    alone = table.filter(part="template").sort("top1_accuracy")
    assert alone["set"][-1] == "planted[2]"
    assert alone["top1_accuracy"][-1] > 0.99
    assert alone["top1_accuracy"][0] < 0.4
    assert alone["auroc"][-1] == alone["auroc"].max() > 0.98
    first = table.filter(part="greedy", n_templates=1)
    assert first["set"].to_list() == ["planted[2]"] * 2
    assert first.filter(split="held-out")["top1_accuracy"].item() > 0.98


def test_the_order_of_samples_changes_nothing(planted, add_images):
    samples, x = planted.samples("id"), np.asarray(planted.embeddings("m", "id"))
    order = np.random.default_rng(1).permutation(300)
    labels = samples["label"].to_numpy()
    ids = planted.dataset("id").class_ids
    # ids stay with their pictures, so that halves are the same
    add_images(planted, "mixed", x[order], labels[order], ids)
    mixed, same = (sweep(planted, datasets=d, ood="far") for d in ("mixed", "id"))
    whole = pl.col("part") != "greedy"
    for name in ("top1_accuracy", "nll", "ece", "auroc"):
        np.testing.assert_allclose(
            mixed.filter(whole)[name], same.filter(whole)[name], rtol=1e-5, err_msg=name
        )


def test_equal_templates_go_to_the_first_and_a_second_does_not_help(planted):
    one = np.asarray(planted.text_embeddings("m", "planted--classes")).reshape(10, 4, 64)[:, 2:3]
    add_templates(planted, "twice", np.repeat(one, 3, axis=1), planted.dataset("id").class_ids)
    table = sweep(planted, texts="twice", parts="greedy")
    assert table["set"].to_list() == ["twice[0]"] * 2


def test_text_sets_over_other_names_and_orders_of_the_classes(store):
    """Class ids, not places, say what is right; classes beyond the data set's do not compete."""
    ids = ("other", *reversed(IDS))
    rows = drawn(len(ids), 9)
    name = add_prompts(store, "m", "renamed", ids, rows, range(len(ids)), [0] * 6, ["{}"])
    (row,) = sweep(store, texts="renamed", parts="sets").to_dicts()
    logits = logits_of(store, head_of(store, name), "id")[:, :0:-1]
    assert_row(row, np.ascontiguousarray(logits), readable_labels(store))
    assert (row["space"], row["n_templates"], row["template"]) == ("id", 1, "{}")


def test_many_classes_to_one(store, add_images, tmp_path):
    """A data set of coarse classes is judged in its class map, as its heads are."""
    labels = np.arange(80) % 2
    path = tmp_path / "coarse.toml"
    path.write_text(
        'name = "coarse"\nrule = "max"\n[classes]\n'
        'b = ["class-4", "class-0"]\na = ["class-1", "class-2"]\n'
    )
    add_images(store, "coarse", drawn(80, 5), labels, ("b", "a"), spaces=(str(path),))
    (row,) = sweep(store, datasets="coarse", texts="four", parts="sets").to_dicts()
    logits = logits_of(store, head_of(store, "four--classes"), "coarse")
    coarse = np.stack([logits[:, [4, 0]].max(axis=1), logits[:, [1, 2]].max(axis=1)], axis=1)
    assert_row(row, coarse, labels)
    assert row["space"] == "coarse"


def test_a_row_for_each_ood_data_set(store, add_images):
    add_images(store, "near", drawn(50, 6))
    table = sweep(store, texts="four", parts="sets", ood="ood, near")
    assert table["ood"].to_list() == ["near", "ood"]
    assert table["n_ood"].to_list() == [50, 597]
    assert table["nll"].n_unique() == 1
    every = sweep(store, datasets="*", texts="four", parts="sets", ood="ood,near")
    assert every["dataset"].to_list() == ["id"] * 2  # a glob leaves the OOD data sets out


def test_constant_scores_are_worth_a_half(store, add_images):
    add_images(store, "same", np.tile(drawn(1, 8), (60, 1)), np.arange(60) % N_CLASSES, IDS)
    add_images(store, "alike", np.tile(drawn(1, 8), (40, 1)))
    (row,) = sweep(store, datasets="same", texts="four", parts="sets", ood="alike").to_dicts()
    assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == (0.5, 0.5, 0.5)
    assert row["top1_accuracy"] == 0.2


@pytest.mark.parametrize("empty", ["id", "ood"])
def test_a_side_without_a_picture_ends_no_table(store, add_images, empty):
    unlabelled = [None] * 6 if empty == "id" else np.arange(6) % N_CLASSES
    add_images(store, "inside", drawn(6, 8), unlabelled, IDS)
    add_images(store, "lost", np.full((4, 8), np.nan))
    ood = "ood" if empty == "id" else "lost"
    table = sweep(store, datasets="id,inside", texts="four", parts="sets", ood=ood)
    rows = table.filter(dataset="inside" if empty == "id" else "id").to_dicts()
    assert [(row["auroc"], row["auroc_low"], row["note"]) for row in rows] == [
        (None, None, "no AUROC: one side has no picture that counts")
    ]
    assert (rows[0]["n_samples"], rows[0]["n_ood"]) == ((0, 597) if empty == "id" else (597, 0))
    assert table.height == 2


def test_a_text_set_that_lacks_classes_has_a_note(store):
    add_prompts(store, "m", "few", IDS[:3], drawn(3, 4), range(3))
    table = sweep(store, texts="few,four", parts="sets")
    few = table.filter(texts="few--classes").row(0, named=True)
    assert few["note"] == (
        "it does not name 2 of the 5 classes of data set 'id', such as 'class-3'"
    )
    assert (few["top1_accuracy"], few["part"]) == (None, None)
    assert table.filter(texts="four--classes")["note"].to_list() == [None]
    with pytest.raises(EmbedStoreError, match="'few--classes' cannot be judged: it does not name"):
        sweep(store, texts="few")


def test_a_half_without_a_sample_has_no_greedy_steps(store, add_images):
    add_images(store, "one", drawn(1, 3), np.zeros(1, np.int64), IDS)
    table = sweep(store, datasets="one")
    assert set(table["part"]) == {"set", "template", "prefix"}
    assert set(table["n_samples"]) == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"datasets": "no"}, "unknown data set 'no'; choose one of: far, id, ood"),
        ({"models": "no"}, "unknown model 'no'; choose one of: m"),
        ({"texts": "no"}, "unknown text set 'no'; choose one of: described, described--classes"),
        ({"ood": "no"}, "unknown OOD data set 'no'"),
        ({"parts": "set"}, "unknown part of a sweep 'set'; choose one of: greedy, prefixes"),
        ({"parts": " "}, "no part is asked for; give --parts"),
        ({"ood": "id"}, "data set 'id' is to be in- and out-of-distribution.*--ood"),
        ({"datasets": "id,ood", "ood": "ood"}, "data set 'ood' is to be in- and out-of"),
        ({"datasets": "i*", "ood": "id"}, "data set 'id' is to be in- and out-of"),
        ({"n_bins": 0}, "n_bins is 0; give at least 1"),
        ({"max_templates": 0}, "max_templates is 0; give at least 1"),
        ({"datasets": "far"}, "no data set that matches 'far' has classes"),
        ({"texts": "described", "parts": "greedy"}, "in parts greedy.*--parts sets"),
    ],
)
def test_bad_input(store, add_images, options, message):
    add_images(store, "far", drawn(5, 3))
    with pytest.raises(EmbedStoreError, match=message):
        sweep(store, **options)


def test_no_text_set_and_no_zero_shot_head(tmp_path):
    store = random_store(tmp_path / "s", models=("m",), datasets=("id",), dim=8)
    with pytest.raises(EmbedStoreError, match="no model that matches .* prompts encode"):
        sweep(store)
    add_prompts(store, "m", "bare", IDS, drawn(5, 1), range(5))
    with pytest.raises(EmbedStoreError, match="'m' has no zero-shot head.*prompts encode"):
        sweep(store)


def test_a_data_set_that_no_model_with_prompts_has_encoded(store):
    from embedstore.testing.simulate.samples import add_samples

    add_samples(store, "apart", ["0"], np.zeros(1, np.int64), IDS)
    with pytest.raises(EmbedStoreError, match="has encoded a data set that matches 'apart'"):
        sweep(store, datasets="apart")
    with pytest.raises(UnknownNameError, match="data set of model 'm' 'apart'"):
        sweep(store, ood="apart")
