"""A language model beside its encoder: real answers, planted ones, and a loop over samples."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest

from cli import main
from embedstore import Store, analysis, schema
from embedstore.errors import DatasetError, EmbedStoreError, UnknownNameError
from embedstore.heads.stored import load_head
from embedstore.importers.answers import import_answers
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.schema.interaction import INTERACTION
from embedstore.store import layout
from embedstore.store.answers import save_answers
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.datasets import save_annotations
from embedstore.testing.simulate.samples import add_samples, numbered
from embedstore.testing.stores import random_store

LLAVA = "llava:llava-hf/llava-1.5-7b-hf"
CLIP = "open_clip:ViT-L-14-336/openai"
TABLE = ("both_right", "model_only", "encoder_only", "neither")


def ask(store: Store, rows: list[dict], model: str = "llava", protocol: str = "options-2") -> None:
    """Put a language model's answers about `data` into a store."""
    if model not in store.models:
        record = ModelRecord(model, LLAVA, {"weights": model}, 0, False, False, {})
        save_model(store.files, record)
    answers = pl.DataFrame(rows, schema=dict(schema.ANSWERS))
    save_answers(store.files, model, "data", protocol, answers, {})


def compared(store: Store, **options) -> dict:
    """The only row of the table."""
    (row,) = analysis.run("interaction", store, **options).rows(named=True)
    return row


@pytest.fixture(scope="module")
def real(tmp_path_factory, shared_data) -> Store:
    """LLaVA-1.5's answers on the 1,280 cue-conflict pictures, and its CLIP's decisions."""
    store = Store.open(tmp_path_factory.mktemp("real") / "s", create=True)
    folder: Path = shared_data / "cue-conflict-decisions"
    pictures = read_table(folder / "subject-03.csv")
    import_samples(store, pictures, "cue-conflict", layout="cue-conflict")
    target = Target("clip", "cue-conflict", protocol="names-16", spec=CLIP)
    decided = read_table(folder / "clip-ViT-L-14-336-openai.csv")
    import_predictions(store, decided, target, layout_name="vlm-shapebias")
    answers = read_table(shared_data / "lmm-answers" / "llava-1.5-7b-cue-conflict.csv")
    target = Target("llava", "cue-conflict", protocol="letters-16", spec=LLAVA)
    import_answers(store, answers, target, layout_name="vlm-shapebias")
    return store


@pytest.mark.parametrize(
    ("where", "counts", "p"),
    [(None, (588, 81, 88, 523), 0.6445), ("shape <> texture", (515, 80, 86, 519), 0.6981)],
)
def test_llava_beside_its_clip_gives_the_published_tables(real, where, counts, p):
    row = compared(real, where=where)
    assert tuple(row[name] for name in TABLE) == counts
    assert row["mcnemar_p"] == pytest.approx(p, abs=5e-5)
    assert row["mcnemar_q"] == row["mcnemar_p"]
    assert (row["model_shape_decisions"], row["model_texture_decisions"]) == (595, 374)
    assert (row["encoder_shape_decisions"], row["encoder_texture_decisions"]) == (601, 404)
    assert (row["protocol"], row["encoder_protocol"]) == ("letters-16", "names-16")
    assert "protocols differ: letters-16 and names-16" in row["note"]
    assert "no per-token scores are stored: the parsed answers decide" in row["note"]
    assert (row["model"], row["encoder"], row["head"]) == ("llava", "clip", "names-16")
    assert (row["score"], row["n_orders"], row["chance"]) == ("text", 1, 1 / 16)
    assert (row["n_samples"], row["n_conflict"], row["n_left_out"]) == (sum(counts), 1200, 0)
    assert row["model_accuracy"] == row["decided_accuracy"] == (counts[0] + counts[1]) / sum(counts)
    assert row["encoder_accuracy"] == row["many_way_accuracy"]
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    of_orders = ("right_in_both_orders", "consistency", "position_p", "position_biased")
    assert [row[name] for name in of_orders] == [None] * 4
    assert row["note"].endswith(
        "one order, which cannot tell a bias of position from one of classes"
    )


def test_shape_bias_is_that_of_its_own_analysis(real):
    biases = dict(analysis.run("shape-bias", real).select("model", "shape_bias").rows())
    row = compared(real)
    assert {name: row[f"{of}_shape_bias"] for name, of in (("llava", "model"), ("clip", "encoder"))
            } == biases  # fmt: skip


def test_classes_are_parts_of_the_whole(real):
    classes, row = analysis.run("interaction", real, by="class"), compared(real)
    assert classes["level"].to_list() == list(real.dataset("cue-conflict").class_names)
    for name in (*TABLE, "n_samples", "n_conflict", "model_shape_decisions"):
        assert classes[name].sum() == row[name]
    assert (classes["mcnemar_q"] >= classes["mcnemar_p"]).all()


def test_hard_classes_are_those_of_the_claims(real):
    hard, easy = analysis.run("interaction", real, by="hardness").rows(named=True)
    assert (hard["level"], easy["level"]) == ("hardest", "easiest")
    claims = analysis.run("claims", real, section="language", id_dataset="cue-conflict")
    for row, claim in zip((hard, easy), claims.rows(named=True), strict=True):
        counts = f"llava alone is right on {row['model_only']}, clip alone on {row['encoder_only']}"
        assert counts in claim["evidence"]
        assert claim["p_value"] == row["mcnemar_p"]
        assert claim["value"] == pytest.approx(row["difference"])


def test_on_the_command_line(real):
    options = ["--where", "shape <> texture", "--format", "json"]
    said = CliRunner().invoke(main, ["analyze", "interaction", str(real.files.root), *options])
    (row,) = json.loads(said.stdout)
    assert (row["model_only"], row["encoder_only"]) == (80, 86)
    assert list(row) == list(INTERACTION)


def encoded(path: Path, **options) -> Store:
    """An encoder of random embeddings, named `model`, over data set `data` of five classes."""
    return random_store(path, **{"n_samples": 80, "failed": (3, 50), **options})


def two_options(random, store: Store, answer) -> list[dict]:
    """Ask in both orders of the right class and another; `answer` gives scores of a put list."""
    rows = []
    for i, label in enumerate(store.samples("data")["label"].to_list()):
        other = int(random.choice([c for c in range(5) if c != label]))
        pair = [label, other] if random.random() < 0.5 else [other, label]
        for order in (0, 1):
            put = pair[:: -1 if order else 1]
            names = [f"Class {c}" for c in put]
            row = {"sample_index": i, "order": order, "options": names, "option_classes": put}
            rows.append(row | {"scores_per_token": answer(put, label)})
    return rows


def naive(store: Store, rows: list[dict]) -> dict:
    """All counts, sample by sample, the encoder by its head's own logits."""
    head, labels = load_head(store, "model", "own"), store.samples("data")["label"].to_list()
    logits = head.logits(store.embeddings("model", "data")[:])
    of_sample, counts = defaultdict(list), Counter()
    for row in rows:
        of_sample[row["sample_index"]].append(row)
    share = 0.0
    for i, asked in of_sample.items():
        if np.isnan(logits[i, 0]) or labels[i] not in asked[0]["option_classes"]:
            continue
        offered = sorted(asked[0]["option_classes"])
        choice = max(offered, key=lambda c: (logits[i, c], -c))
        means, each = dict.fromkeys(offered, 0.0), []
        for row in asked:
            scores = dict(zip(row["option_classes"], row["scores_per_token"], strict=True))
            each.append(max(offered, key=lambda c: (scores[c], -c)))
            counts["first"] += each[-1] == row["option_classes"][0]
            for c in offered:
                means[c] += scores[c]
        decision = max(offered, key=lambda c: (means[c], -c))
        right = [d == labels[i] for d in each]
        share += np.mean(right)
        counts["n"] += 1
        counts["all"] += all(right)
        counts["same"] += each[0] == each[1]
        if each[0] != each[1]:
            counts["front" if each[0] == asked[0]["option_classes"][0] else "back"] += 1
        ok = decision == labels[i], choice == labels[i]
        counts[TABLE[2 * (not ok[0]) + (not ok[1])]] += 1
        counts["many"] += int(np.argmax(logits[i])) == labels[i]
    return dict(counts) | {"share": share}


def test_a_loop_over_samples_counts_the_same(tmp_path):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(5)
    rows = two_options(random, store, lambda put, label: random.normal([0.4, 0.0]))
    for row in rows[40:44]:  # two samples whose label is no option
        label = store.samples("data")["label"][row["sample_index"]]
        others = [c for c in range(5) if c != label][:2]
        row["option_classes"] = others[:: -1 if row["order"] else 1]
        row["options"] = None
    ask(store, rows[:150])
    row, found = compared(store, encoder="model"), naive(store, rows[:150])
    assert [row[name] for name in TABLE] == [found[name] for name in TABLE]
    n = found["n"]
    assert (row["n_samples"], row["n_left_out"]) == (n, 80 - n)
    assert n == 75 - 2 - 2
    assert row["model_accuracy"] == pytest.approx(found["share"] / n)
    assert row["right_in_both_orders"] == pytest.approx(found["all"] / n)
    assert row["consistency"] == pytest.approx(found["same"] / n)
    assert row["position_bias"] == pytest.approx(found["first"] / (2 * n))
    assert (row["position_front"], row["position_back"]) == (found["front"], found["back"])
    disagree = found["front"] + found["back"]
    assert row["position_p"] == pytest.approx(binomtest(found["front"], disagree).pvalue)
    assert row["many_way_accuracy"] == pytest.approx(found["many"] / n)
    assert (row["chance"], row["n_unparsed"], row["score"]) == (0.5, 0, "per-token")
    assert row["note"] is None


def test_stored_logits_and_embeddings_choose_alike(tmp_path):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(6)
    ask(store, two_options(random, store, lambda put, label: random.normal(size=2)))
    first = compared(store, encoder="model")
    store.files.delete_folder(layout.images("model", "data"))
    again = compared(Store.open(store.files.root), encoder="model")
    assert again == first
    assert first["encoder_accuracy"] > first["many_way_accuracy"]


def test_outcomes_alone_say_nothing_of_some_options_and_all_of_all(tmp_path, say):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(6)
    labels = store.samples("data")["label"].to_list()
    say(store, "said", [c == 0 for c in labels], prediction=[0] * 80)
    ask(store, two_options(random, store, lambda put, label: random.normal(size=2)))
    row = compared(store, encoder="said")
    unknown = ("encoder_accuracy", "encoder_accuracy_low", "difference", "difference_low",
               "mcnemar_p", "mcnemar_q", *TABLE)  # fmt: skip
    assert [row[name] for name in unknown] == [None] * len(unknown)
    assert "not known from its outcomes alone: encode it, or import its logits" in row["note"]
    assert row["model_accuracy"] > 0
    all_five = [
        {
            "sample_index": i,
            "order": 0,
            "option_classes": list(range(5)),
            "scores": [0, -1, -1, -1, -1],
        }
        for i in range(80)
    ]
    ask(store, all_five, protocol="all")
    row = compared(store, encoder="said", protocol="all", score="sum")
    assert row["model_only"] == row["encoder_only"] == 0
    assert row["both_right"] == labels.count(0)
    assert (row["chance"], row["mcnemar_p"], row["position_bias"]) == (0.2, 1.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "biased"),
    [
        (lambda put, label, noise: [0.0, -1.0], True),  # always the first
        (lambda put, label, noise: [-1.0, 0.0], True),  # always the last
        (lambda put, label, noise: noise, False),  # a coin
        (lambda put, label, noise: [float(c == label) for c in put], False),  # always right
        (lambda put, label, noise: [-float(c) for c in put], False),  # the lower class
    ],
)
def test_position_bias_is_flagged(tmp_path, answer, biased):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(9)
    rows = two_options(
        random, store, lambda put, label: answer(put, label, random.normal(size=2).tolist())
    )
    ask(store, rows)
    row = compared(store, encoder="model")
    assert row["position_biased"] is biased
    assert (row["position_q"] < 1e-6) is biased
    if biased:
        assert row["position_bias"] == float(answer([0, 1], 0, None)[0] == 0)
        assert (row["model_accuracy"], row["right_in_both_orders"]) == (0.5, 0.0)
        assert row["consistency"] == 0


def test_an_always_a_answerer_of_letters_is_flagged_by_its_texts(tmp_path):
    store = encoded(tmp_path / "s")
    rows = [
        {"sample_index": i, "order": order, "option_classes": put, "prediction": put[0],
         "answer": "A", "text": "A"}
        for i in range(80)
        for order, put in enumerate(([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]))
    ]  # fmt: skip
    ask(store, rows)
    row = compared(store, encoder="model", score="text")
    assert row["position_biased"]
    assert (row["position_bias"], row["position_front"], row["position_back"]) == (1.0, 78, 0)


def texts(store: Store, name) -> list[dict]:
    """Ask in both orders of the right class and the next; `name` gives one of a put list."""
    return [
        {"sample_index": i, "order": order, "option_classes": put, "prediction": name(put, label),
         "text": "..."}
        for i, label in enumerate(store.samples("data")["label"].to_list())
        for order, put in enumerate(([label, (label + 1) % 5], [(label + 1) % 5, label]))
    ]  # fmt: skip


def test_texts_that_follow_the_order_are_a_guess_and_counted(tmp_path):
    store = encoded(tmp_path / "s", n_samples=400, failed=())
    ask(store, texts(store, lambda put, label: put[0]))
    row = compared(store, encoder="model", score="text")
    assert (row["n_ties"], row["model_accuracy"]) == (400, 0.5)
    assert row["decided_accuracy"] == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 400))
    assert (row["position_front"], row["position_back"]) == (400, 0)
    ask(store, texts(store, lambda put, label: label), protocol="right")
    row = compared(store, encoder="model", score="text", protocol="right")
    assert (row["n_ties"], row["decided_accuracy"], row["position_p"]) == (0, 1.0, 1.0)


def test_imported_outcomes_decide_as_the_analysis_does(tmp_path):
    store = encoded(tmp_path / "s", failed=())
    ids, names = store.samples("data")["sample_id"].to_list(), store.dataset("data").class_ids
    rows = [
        {"sample_id": ids[row["sample_index"]], "order": row["order"],
         "options": [names[c] for c in row["option_classes"]], "text": "...",
         "prediction": names[row["prediction"]]}
        for row in texts(store, lambda put, label: put[0])
    ]  # fmt: skip
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    report = import_answers(store, read_table(file), Target("llava", "data", protocol="two"))
    assert any("answers about 80 samples tie" in notice for notice in report.notices)
    row = compared(store, encoder="model", score="text")
    correct = store.outcomes("llava").collect()["correct"]
    assert correct.mean() == row["decided_accuracy"]
    assert 0.2 < correct.mean() < 0.8


def test_samples_of_fewer_orders_say_nothing_of_orders(tmp_path):
    """Always the first, which is the right one in order 0: the only one of every other sample."""
    store = encoded(tmp_path / "s", failed=())
    rows = texts(store, lambda put, label: put[0])
    ask(store, [row for row in rows if row["order"] == 0 or row["sample_index"] % 2])
    row = compared(store, encoder="model", score="text")
    assert (row["n_samples"], row["n_orders"], row["n_fewer_orders"]) == (80, 2, 40)
    assert (row["right_in_both_orders"], row["consistency"]) == (0.0, 0.0)
    assert (row["position_bias"], row["position_front"], row["n_ties"]) == (1.0, 40, 40)
    assert row["model_accuracy"] == 0.75
    assert "40 samples were answered in fewer orders than others: they do not" in row["note"]
    likely = texts(store, lambda put, label: label)
    ask(store, [r for r in likely if r["order"] == 0 or r["sample_index"] % 2], protocol="right")
    row = compared(store, encoder="model", score="text", protocol="right")
    assert (row["right_in_both_orders"], row["consistency"]) == (1.0, 1.0)
    assert row["position_bias"] == 0.5


def test_a_test_that_could_not_be_made_counts_for_no_other(tmp_path):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(3)
    rows = two_options(random, store, lambda put, label: [0.0, -1.0])
    ask(store, rows[: 2 * 12])
    unplaced = [row | {"option_classes": None} for row in texts(store, lambda put, label: put[0])]
    ask(store, unplaced, protocol="unplaced")
    half = texts(store, lambda put, label: put[0])
    for row in half[1::2]:
        row["prediction"] = None
    ask(store, half, protocol="half")
    frame = analysis.run("interaction", store, encoder="model")
    assert frame["protocol"].to_list() == ["half", "options-2", "unplaced"]
    columns = ("position_p", "position_q", "position_biased")
    for i in (0, 2):
        assert [frame[c][i] for c in columns] == [None] * 3
    assert frame["position_q"][1] == frame["position_p"][1]  # the only test there is
    assert frame["position_biased"][1]


def test_classes_of_a_row_are_counted_and_equals_chosen_by_a_hash(tmp_path, say):
    """The encoder errs in 2 of 16 classes: 4 are hard, and 4 others easy."""
    store, random = Store.open(tmp_path / "s", create=True), np.random.default_rng(1)
    labels = np.repeat(np.arange(16), 20)
    add_samples(store, "data", numbered(labels), labels, tuple(f"c{i}" for i in range(16)))
    wrong = (labels < 2) & (random.random(len(labels)) < 0.6)
    said = np.where(wrong, (labels + 1) % 16, labels).tolist()
    say(store, "encoder", (~wrong).tolist(), prediction=said)
    ask(store, [{"sample_index": i, "order": 0, "prediction": c} for i, c in enumerate(said)])
    hard, easy = analysis.run("interaction", store, encoder="encoder", by="hardness").rows(
        named=True
    )
    assert (
        (hard["n_classes"], hard["n_samples"]) == (easy["n_classes"], easy["n_samples"]) == (4, 80)
    )
    assert hard["both_right"] == 80 - wrong.sum()
    assert easy["encoder_accuracy"] == 1
    assert "the hardest classes end among 14 of equal accuracy" in hard["note"]
    assert "the easiest classes end among 14 of equal accuracy" in easy["note"]
    assert compared(store, encoder="encoder")["n_classes"] == 16
    by_class = analysis.run("interaction", store, encoder="encoder", by="class")
    assert by_class["n_classes"].to_list() == [1] * 16


def test_what_cannot_be_parsed_is_wrong_and_counted_apart(tmp_path):
    store, random = encoded(tmp_path / "s", failed=()), np.random.default_rng(9)
    rows = two_options(random, store, lambda put, label: None)
    labels = store.samples("data")["label"].to_list()
    for row in rows:
        row |= {"prediction": labels[row["sample_index"]], "text": "It is one."}
    for row in rows[:6]:
        row |= {"prediction": None, "text": "Both, or neither."}
    ask(store, rows)
    row = compared(store, encoder="model", score="text")
    assert row["n_unparsed"] == 6
    assert row["model_accuracy"] == pytest.approx(154 / 160)
    assert row["decided_accuracy"] == row["right_in_both_orders"] == pytest.approx(77 / 80)
    assert row["consistency"] == pytest.approx(77 / 80)
    likely = [row | {"scores": [1.0, 0.0]} for row in rows]
    ask(store, likely, protocol="scored")
    row = compared(store, encoder="model", score="sum", protocol="scored")
    assert (row["n_unparsed"], row["model_accuracy"], row["consistency"]) == (6, 0.5, 0)


def test_a_null_effect_is_none_on_hard_and_easy_classes(tmp_path, say):
    """Both are right half the time, whatever the class: 100 classes of 12 samples."""
    store, random = Store.open(tmp_path / "s", create=True), np.random.default_rng(12)
    labels = np.repeat(np.arange(100), 12)
    add_samples(store, "data", numbered(labels), labels, tuple(f"c{i}" for i in range(100)))
    right, model = (random.random(len(labels)) < 0.5 for _ in range(2))
    say(store, "encoder", right.tolist(),
        prediction=np.where(right, labels, (labels + 1) % 100).tolist())  # fmt: skip
    said = np.where(model, labels, (labels + 1) % 100)
    ask(store, [{"sample_index": i, "order": 0, "prediction": int(c)} for i, c in enumerate(said)])
    frame = analysis.run("interaction", store, encoder="encoder", by="hardness")
    assert (frame["difference_low"] < 0).all()
    assert (frame["difference_high"] > 0).all()
    assert (frame["mcnemar_p"] > 0.05).all()


def test_cues_that_are_no_options_are_no_decisions(tmp_path):
    store, random = encoded(tmp_path / "s", failed=()), np.random.default_rng(3)
    labels = store.samples("data")["label"].to_list()
    ids, texture = store.dataset("data").class_ids, [(c + 1) % 5 for c in labels]
    cues = {"shape": [ids[c] for c in labels], "texture": [ids[c] for c in texture]}
    save_annotations(store.files, "data", "cues", pl.DataFrame(cues))
    ask(store, two_options(random, store, lambda put, label: [-float(c != label) for c in put]))
    row = compared(store, encoder="model")
    asked = store.answers("llava", "data", "options-2").filter(pl.col("order") == 0)
    offered = sum(t in o for t, o in zip(texture, asked["option_classes"].to_list(), strict=True))
    assert 0 < offered < 80
    assert row["n_conflict"] == row["model_shape_decisions"] == offered
    assert (row["model_texture_decisions"], row["model_shape_bias"]) == (0, 1.0)
    assert row["encoder_shape_decisions"] + row["encoder_texture_decisions"] == offered
    assert row["encoder_shape_decisions"] > 0


def test_one_that_cannot_be_compared_has_a_row_that_says_why(tmp_path):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(3)
    rows = two_options(random, store, lambda put, label: random.normal(size=2))
    ask(store, rows)
    twisted = [row | {"option_classes": row["option_classes"][::-1]} for row in rows]
    ask(store, twisted, protocol="twisted")
    frame = analysis.run("interaction", store, encoder="model")
    assert frame["protocol"].to_list() == ["options-2", "twisted"]
    assert frame["n_samples"].to_list() == [78, None]
    assert "another order than their option_classes" in frame["note"][1]


def test_by_default_texts_decide_where_they_were_decoded(tmp_path):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(3)
    rows = two_options(random, store, lambda put, label: [-float(c != label) for c in put])
    labels = store.samples("data")["label"].to_list()
    wrong = [
        row | {"text": "x", "prediction": next(c for c in row["option_classes"] if c != labels[i])}
        for row in rows
        for i in [row["sample_index"]]
    ]
    for protocol in ("options-2", "options-2-greedy"):
        ask(store, wrong, protocol=protocol)
    frame = analysis.run("interaction", store, encoder="model")
    assert frame["score"].to_list() == ["per-token", "text"]
    assert frame["decided_accuracy"].to_list() == [1, 0]
    forced = analysis.run("interaction", store, encoder="model", score="per-token")
    assert forced["score"].to_list() == ["per-token", "per-token"]


def test_what_cannot_be_compared_is_refused(tmp_path, say):
    store, random = encoded(tmp_path / "s"), np.random.default_rng(3)
    with pytest.raises(EmbedStoreError, match="no model in .* has answered questions"):
        analysis.run("interaction", store)
    rows = two_options(random, store, lambda put, label: random.normal(size=2))
    ask(store, rows)
    with pytest.raises(EmbedStoreError, match="sees through open_clip:.*, which is not in the st"):
        analysis.run("interaction", store)
    with pytest.raises(
        EmbedStoreError, match="'llava' has no outcomes among the classes of 'data'"
    ):
        analysis.run("interaction", store, encoder="llava")
    for option, message in (("by", "unknown by 'x'"), ("score", "unknown score 'x'")):
        with pytest.raises(UnknownNameError, match=message):
            analysis.run("interaction", store, **{option: "x"})
    twisted = [*rows[:2], rows[2] | {"option_classes": rows[3]["option_classes"]}]
    ask(store, twisted, protocol="twisted")
    sample = store.samples("data")["sample_id"][1]
    with pytest.raises(DatasetError, match=f"about sample '{sample}' in order 0 .*another order"):
        analysis.run("interaction", store, encoder="model", protocol="twisted")
    ask(store, [row | {"options": ["a", "b"], "option_classes": None} for row in rows],
        protocol="unknown")  # fmt: skip
    with pytest.raises(DatasetError, match="'a' in .* name no classes .* column option_classes"):
        analysis.run("interaction", store, encoder="model", protocol="unknown")
    ask(store, rows[:4], protocol="few")
    only = f"sample_id = '{store.samples('data')['sample_id'][79]}'"
    with pytest.raises(DatasetError, match="none of the answers .* has a label.*--where"):
        analysis.run("interaction", store, encoder="model", protocol="few", where=only)
    ask(store, rows[6:8], protocol="failed")
    with pytest.raises(DatasetError, match="judged no sample of 'data' in common"):
        analysis.run("interaction", store, encoder="model", protocol="failed")


def test_answers_about_samples_without_labels_are_refused(tmp_path, say):
    store = Store.open(tmp_path / "s", create=True)
    add_samples(store, "data", ["a", "b"])
    say(store, "encoder", [None, None], prediction=[0, 1], class_ids=["x", "y"])
    ask(store, [{"sample_index": 0, "order": 0, "text": "a cat"}])
    with pytest.raises(DatasetError, match="is about a sample that has a label; bring labels in"):
        analysis.run("interaction", store, encoder="encoder")
