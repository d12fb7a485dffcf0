"""Decisions over orders, and whether they lean to a place, against loops and by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import polars as pl
import pytest

from embedstore import schema
from embedstore.errors import DatasetError
from embedstore.interaction import deciding
from embedstore.interaction.deciding import SCORES, Decisions, Score
from embedstore.stats.paired import mcnemar


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(schema.ANSWERS))


def decisions(answers: pl.DataFrame, score: Score, where: str = "a") -> Decisions:
    """Decide as ids are numbers."""
    n_samples = int(answers["sample_index"].max()) + 1
    return deciding.decisions(
        answers, score, where, pl.Series([f"id {i}" for i in range(n_samples)])
    )


def two_orders(scores: list[list[float]], classes=(4, 7), column="scores_per_token") -> list[dict]:
    """Rows of one sample each; scores are of the classes as put in each order."""
    orders = [list(classes), list(classes)[::-1]]
    return [
        {"sample_index": 0, "order": o, "option_classes": orders[o], column: scores[o]}
        for o in (0, 1)
    ]


@pytest.mark.parametrize(
    ("scores", "each", "joint", "lean", "tied"),
    [
        ([[-1, -2], [-3, -1]], [4, 4], 4, 0, False),
        ([[-1, -2], [-1, -2]], [4, 7], 4, 1, True),  # first-put twice; of means the lower class
        ([[-2, -1], [-3, -1]], [7, 4], 4, -1, False),  # means -1.5 and -2
        ([[-2, -1], [-1, -3]], [7, 7], 7, 0, False),
        ([[-1, -1], [-1, -1]], [4, 4], 4, 0, True),
    ],
)
def test_two_orders_by_hand(scores, each, joint, lean, tied):
    found = decisions(table(*two_orders(scores)), "per-token", "answers")
    assert found.answers["decision"].to_list() == each
    assert found.samples["decision"].to_list() == [joint]
    assert found.samples["options"].to_list() == [[4, 7]]
    assert found.samples["tied"].to_list() == [tied]
    assert found.leanings["lean"].to_list() == [lean]
    assert (found.score, found.note) == ("per-token", None)


def test_other_scores_decide_if_asked_for_and_texts_where_there_are_none():
    per_token, summed = two_orders([[-1, -2], [-2, -1]]), [[-9, -3], [-3, -9]]
    rows = [row | {"scores": s, "prediction": 4} for row, s in zip(per_token, summed, strict=True)]
    assert decisions(table(*rows), "per-token", "a").samples["decision"].to_list() == [4]
    assert decisions(table(*rows), "sum", "a").samples["decision"].to_list() == [7]
    bare = [{**row, "scores_per_token": None, "scores": None} for row in rows]
    found = decisions(table(*bare), "sum", "a")
    assert (found.score, found.samples["decision"].to_list()) == ("text", [4])
    assert found.note == "no sum scores are stored: the parsed answers decide"


def test_what_is_asked_for_and_not_there_is_refused():
    rows = two_orders([[-1, -2], [-2, -1]], column="scores")
    with pytest.raises(DatasetError, match="hold no per-token scores .* --score sum"):
        decisions(table(*rows), "per-token", "answers of 'm'")


@pytest.mark.parametrize(
    ("named", "joint", "unparsed"),
    [
        ([4, 4], 4, 0),
        ([4, None], 4, 1),
        ([None, None], None, 2),
        ([4, 9], 4, 1),  # 9 was no option
    ],
)
def test_texts_decide_by_what_most_orders_name(named, joint, unparsed):
    rows = [
        row | {"prediction": p, "text": "..."}
        for row, p in zip(two_orders([[0, 0], [0, 0]]), named, strict=True)
    ]
    found = decisions(table(*rows), "text", "answers")
    assert found.samples["decision"].to_list() == [joint]
    assert found.answers["decision"].null_count() == unparsed


def named(pairs: list[tuple[int | None, int | None]]) -> pl.DataFrame:
    """Texts about samples in two orders, each naming a class of 4 and 7, or none."""
    return table(
        *(
            {**row, "sample_index": i, "scores_per_token": None, "prediction": p, "text": "..."}
            for i, pair in enumerate(pairs)
            for row, p in zip(two_orders([[0, 0], [0, 0]]), pair, strict=True)
        )
    )


def test_texts_that_name_two_classes_as_often_are_a_fair_coin_that_no_order_moves():
    """The always-A answerer is right by chance, and no more with one order than with the other."""
    found = decisions(named([(4, 7)] * 4000), "text").samples
    assert found["tied"].all()
    n_first = int((found["decision"] == 4).sum())
    assert abs(n_first - 2000) < 4 * np.sqrt(1000)
    turned = decisions(named([(7, 4)] * 4000), "text").samples
    assert turned.equals(found)
    half = decisions(named([(4, 7), (7, 7)] * 2000), "text").samples
    assert half["tied"].to_list() == [True, False] * 2000
    assert half["decision"].to_list()[::2] == found["decision"].to_list()[::2]
    assert set(half["decision"].to_list()[1::2]) == {7}


def test_a_guess_by_text_is_as_good_as_one_by_scores():
    """A coin anew in each order, beside an encoder that is a coin: 30 tests of 200 samples."""
    random, rows, n_samples = np.random.default_rng(0), [], 6000
    for i in range(n_samples):
        for order, put in enumerate(([0, 1], [1, 0])):
            scores = random.normal(size=2)
            said = {"prediction": put[int(scores.argmax())], "text": "..."}
            rows.append({"sample_index": i, "order": order, "option_classes": put,
                         "scores_per_token": scores, **said})  # fmt: skip
    answers, encoder = table(*rows), random.random(n_samples) < 0.5
    for score in ("text", "per-token"):
        ok = (decisions(answers, score).samples["decision"] == 0).to_numpy()
        assert ok.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(n_samples))
        pairs = zip(ok.reshape(30, 200), encoder.reshape(30, 200), strict=True)
        p = [float(mcnemar((a & ~b).sum(), (~a & b).sum())) for a, b in pairs]
        assert np.mean(np.array(p) < 0.05) < 0.2


def test_answers_without_scores_are_decided_by_what_they_were_parsed_as():
    first, second = two_orders([[-1, -2], [-1, -2]])
    bare = {"scores_per_token": None, "text": "..."}
    rows = [
        *({**row, "sample_index": 0} for row in (first, second)),  # a tie of means
        {**first, "sample_index": 1, "prediction": 7, "text": "..."},  # its scores decide: 4
        {**second, "sample_index": 1, **bare, "prediction": 4},
        {**first, **bare, "sample_index": 2, "prediction": 7},
        {**second, **bare, "sample_index": 2, "prediction": None},
        {**first, "sample_index": 3, "scores_per_token": [float("nan"), -1], "prediction": 7},
        {**second, "sample_index": 3},  # 7, and its scores are not half of a mean
    ]
    found = decisions(table(*rows), "per-token")
    assert found.score == "per-token"
    assert found.answers["decision"].to_list() == [4, 7, 4, 4, 7, None, 7, 7]
    assert found.answers["unparsed"].to_list() == [False] * 5 + [True] + [False] * 2
    assert found.samples["decision"].to_list() == [4, 4, 7, 7]
    assert found.samples["tied"].to_list() == [True, False, False, False]
    assert found.note == (
        "4 of 8 answers have no per-token scores: what they were parsed as decides"
    )


def test_answers_that_nothing_decides_are_refused_with_the_remedy():
    rows = [{"sample_index": 0, "order": 0, "answer": "A"}]
    with pytest.raises(DatasetError, match="a hold no parsed answers; bring them in anew with"):
        decisions(table(*rows), "text")
    rows = two_orders([[float("nan"), -2.0], [-2.0, float("nan")]])
    rows = [row | {"scores": [-1.0, -2.0]} for row in rows]
    with pytest.raises(DatasetError, match="no per-token scores and .* hold: --score sum"):
        decisions(table(*rows), "per-token")


def test_a_row_that_holds_no_answer_is_left_out():
    rows = [*two_orders([[-1, -2], [-2, -1]]), {"sample_index": 1, "option_classes": [4, 7]}]
    assert decisions(table(*rows), "per-token", "a").samples["sample_index"].to_list() == [0]


def random_answers(random, n_samples: int, n_options: int, n_orders: int) -> pl.DataFrame:
    rows = []
    for i in random.permutation(n_samples):
        classes = random.choice(20, n_options, replace=False)
        puts = list(permutations(classes.tolist()))
        for order, put in enumerate(random.permutation(len(puts))[:n_orders]):
            scores = random.integers(-4, 0, n_options).astype(float)  # ties abound
            row = {"sample_index": int(i), "order": order, "option_classes": puts[put]}
            row |= {"scores_per_token": scores, "prediction": int(random.choice(classes))}
            rows.append(row)
    return table(*rows)


def naive(answers: pl.DataFrame) -> tuple[dict, dict, dict]:
    """Decisions of answers and of samples, and leanings, one by one."""
    each, sums, put = {}, defaultdict(Counter), {}
    for row in answers.iter_rows(named=True):
        classes, scores = row["option_classes"], row["scores_per_token"]
        best = max(scores)
        key = row["sample_index"], row["order"]
        each[key] = min(c for c, s in zip(classes, scores, strict=True) if s == best)
        put[key] = classes
        for c, s in zip(classes, scores, strict=True):
            sums[row["sample_index"]][c] += s
    joint = {i: min(c for c in s if s[c] == max(s.values())) for i, s in sums.items()}
    leans = {}
    for i in sums:
        a, b = each[i, 0], each.get((i, 1))
        if b is not None:
            taken = put[i, 0].index(a) + put[i, 1].index(b)
            instead = put[i, 0].index(b) + put[i, 1].index(a)
            leans[i] = int(np.sign(instead - taken))
    return each, joint, leans


@pytest.mark.parametrize(("n_options", "n_orders"), [(2, 1), (2, 2), (4, 2), (5, 3)])
def test_as_a_loop_decides(n_options, n_orders):
    answers = random_answers(np.random.default_rng(3), 60, n_options, n_orders)
    each, joint, leans = naive(answers)
    found = decisions(answers, "per-token", "answers")
    frame = found.answers
    assert {(i, o): d for i, o, d in frame.select("sample_index", "order", "decision").rows()} == (
        each
    )
    assert dict(found.samples.select("sample_index", "decision").rows()) == joint
    assert dict(found.leanings.rows()) == leans
    places = dict(zip(answers.select("sample_index", "order").rows(),
                      answers["option_classes"].to_list(), strict=True))  # fmt: skip
    for i, o, d, place in frame.select("sample_index", "order", "decision", "place").rows():
        assert places[i, o][place] == d


@pytest.mark.parametrize(("n_options", "pull", "leans"), [(2, 0.0, 0), (4, 0.0, 0), (4, 2.0, 1)])
def test_only_who_minds_the_order_leans(n_options, pull, leans):
    """Classes of unlike worth, the same in both orders; `pull` draws answers to the front."""
    random, rows = np.random.default_rng(8), []
    for i in range(600):
        worth = random.normal(size=n_options)
        for order in (0, 1):
            put = list(range(n_options))[:: -1 if order else 1]
            noise = random.gumbel(size=n_options)
            scores = worth[put] + noise + np.linspace(pull, 0, n_options)
            rows.append({"sample_index": i, "order": order, "option_classes": put,
                         "scores_per_token": scores})  # fmt: skip
    counts = Counter(decisions(table(*rows), "per-token", "a").leanings["lean"].to_list())
    p = float(mcnemar(counts[1], counts[-1]))
    assert (p < 1e-6 and counts[1] > counts[-1]) if leans else p > 0.05


def test_scores_have_a_column_each():
    assert set(SCORES.values()) <= set(schema.ANSWERS)
