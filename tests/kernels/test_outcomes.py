"""The outcome kernel against float64 arithmetic, at its edges, and without the compiler."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import logsumexp

import embedstore.accelerate
from embedstore.accelerate import FAST_MATH
from embedstore.errors import EmbedStoreError, NonFiniteError
from embedstore.kernels import outcomes as module
from embedstore.kernels.exponential import LOWEST, exp_not_positive
from embedstore.kernels.outcomes import Outcomes, outcomes
from embedstore.schema import OUTCOMES

ROOT = Path(__file__).parents[2]
F32 = npt.NDArray[np.float32]
ROW = np.zeros(5, np.float32)
LARGEST = float(np.finfo(np.float32).max)


def reference(logits: F32, labels: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.generic]]:
    """The definitions, word for word, in float64: (N, C), (N,) -> columns of (N,)."""
    z, rows = logits.astype(np.float64), np.arange(len(labels))
    log_p = z - z.max(axis=1, keepdims=True)  # first: float64 too rounds logits of 1e30
    log_p -= logsumexp(log_p, axis=1, keepdims=True)
    p = np.exp(log_p)
    order = np.argsort(-z, axis=1, kind="stable")
    ranked = -np.sort(-p, axis=1)
    hot = np.zeros_like(p)
    hot[rows, labels] = 1
    return {
        "prediction": order[:, 0],
        "correct": order[:, 0] == labels,
        "label_rank": np.argmax(order == np.asarray(labels)[:, None], axis=1),
        "confidence": ranked[:, 0],
        "max_logit": z.max(axis=1),
        "energy": logsumexp(z, axis=1),
        "entropy": -(p * log_p).sum(axis=1),
        "margin": ranked[:, 0] - (ranked[:, 1] if z.shape[1] > 1 else 0),
        "nll": np.minimum(-log_p[rows, labels], LARGEST),
        "brier": ((p - hot) ** 2).sum(axis=1),
    }


def assert_right(logits: F32, labels: npt.NDArray[np.integer]) -> Outcomes:
    """Outcomes equal the reference: counts exactly, numbers to 1e-5 or float32's rounding."""
    result, expected = outcomes(logits, labels), reference(logits, labels)
    for name in ("prediction", "correct", "label_rank"):
        np.testing.assert_array_equal(getattr(result, name), expected[name], err_msg=name)
    for name in ("confidence", "max_logit", "energy", "entropy", "margin", "nll", "brier"):
        np.testing.assert_allclose(
            getattr(result, name), expected[name], rtol=1.2e-7, atol=1e-5, err_msg=name
        )
    assert result.valid.all()
    assert result.labelled.all()
    return result


@pytest.mark.parametrize("n_classes", [1, 2, 3, 17, 63, 1000, 1024, 1025, 21_843, 65_535])
@pytest.mark.parametrize("spread", [0.01, 3.0, 30.0, 1e4])
def test_random_logits(n_classes: int, spread: float) -> None:
    random = np.random.default_rng(n_classes)
    logits = random.normal(scale=spread, size=(40, n_classes)).astype(np.float32)
    assert_right(logits, random.integers(0, n_classes, 40))


@pytest.mark.parametrize("n_classes", [1, 2, 17, 1000, 21_843])
def test_equal_logits_go_to_the_lowest_class(n_classes: int) -> None:
    labels = np.array([0, n_classes // 2, n_classes - 1])
    result = assert_right(np.full((3, n_classes), -7.25, np.float32), labels)
    assert (result.prediction == 0).all()
    np.testing.assert_array_equal(result.label_rank, labels)
    np.testing.assert_allclose(result.entropy, np.log(n_classes), atol=1e-5)


ties = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0])
moderate = st.floats(-200, 200, width=32)
any_finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_finite_logits(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 70)))
    elements = data.draw(st.sampled_from([ties, moderate, any_finite]))
    logits = data.draw(hnp.arrays(np.float32, shape, elements=elements))
    assert_right(
        logits, data.draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    )


def test_signed_zeros_are_one_number() -> None:
    logits = np.array([[-1, -0.0, 0.0, -0.0], [-0.0, -0.0, -0.0, 0.0]], np.float32)
    result = assert_right(logits, np.array([3, 3]))
    assert result.prediction.tolist() == [1, 0]
    assert result.label_rank.tolist() == [2, 3]
    assert result.margin.tolist() == [0, 0]


def test_subnormal_logits_keep_their_order() -> None:
    tiny = np.float32(1e-45)
    result = assert_right(np.array([[0, tiny, -tiny, 3 * tiny]], np.float32), np.array([1]))
    assert result.prediction[0] == 3
    assert result.label_rank[0] == 1


@pytest.mark.parametrize("low", [-88.0, -104.0, -1e4, -1e30, -LARGEST])
def test_hugely_negative_logits(low: float) -> None:
    logits = np.full((2, 1000), low, np.float32)
    logits[:, 5] = 3
    result = assert_right(logits, np.array([5, 6]))
    assert result.confidence.tolist() == [1, 1]


def test_logits_further_apart_than_float32_can_say() -> None:
    result = assert_right(np.array([[-LARGEST, LARGEST]], np.float32), np.array([0]))
    assert result.nll[0] == np.float32(LARGEST)


@pytest.mark.parametrize("gap", [8.0, 16.0, 30.0, 60.0])
def test_saturated_rows(gap: float) -> None:
    logits = np.zeros((2, 1000), np.float32)
    logits[:, 999] = gap
    result = assert_right(logits, np.array([999, 0]))
    assert result.entropy[0] >= 0
    assert result.brier[0] >= 0


def test_large_logits_keep_their_energy() -> None:
    random = np.random.default_rng(0)
    logits = (1e4 + random.normal(size=(50, 1000))).astype(np.float32)
    result = assert_right(logits, np.zeros(50, int))
    np.testing.assert_allclose(
        result.energy, reference(logits, np.zeros(50, int))["energy"], rtol=1e-6
    )


def test_known_answer() -> None:
    result = outcomes(np.log(np.array([[1, 2, 5]], np.float32)), np.array([1]))
    values = {name: float(column[0]) for name, column in asdict(result).items()}
    assert values == pytest.approx(
        {
            "prediction": 2,
            "correct": 0,
            "label_rank": 1,
            "confidence": 5 / 8,
            "max_logit": np.log(5),
            "energy": np.log(8),
            "entropy": (np.log(8) + 2 * np.log(4) + 5 * np.log(8 / 5)) / 8,
            "margin": 3 / 8,
            "nll": np.log(4),
            "brier": (1 + 36 + 25) / 64,
            "valid": 1,
            "labelled": 1,
        },
        abs=1e-6,
    )


def test_columns_are_those_of_the_schema() -> None:
    result = outcomes(np.zeros((2, 3), np.float32), np.zeros(2, int))
    assert [field.name for field in fields(result)] == [*OUTCOMES, "valid", "labelled"]
    types = {name.lower(): type_ for name, type_ in zip(OUTCOMES, OUTCOMES.values(), strict=True)}
    for name, type_ in types.items():
        kind = getattr(result, name).dtype.name.replace("bool", "boolean")
        assert kind == str(type_).lower()


def test_failed_rows_are_null_and_not_looked_at() -> None:
    random = np.random.default_rng(1)
    logits, labels = random.normal(size=(6, 9)).astype(np.float32), np.array([0, 1, -1, 3, 4, -1])
    failed = np.array([False, True, False, False, False, True])
    whole = outcomes(logits, labels)
    logits[failed] = np.nan
    result = outcomes(logits, labels, failed=failed)
    assert result.valid.tolist() == [True, False, True, True, True, False]
    assert result.labelled.tolist() == [True, False, False, True, True, False]
    assert np.isnan(result.energy).tolist() == failed.tolist()
    assert np.isnan(result.nll).tolist() == (~result.labelled).tolist()
    assert not (result.correct & ~result.labelled).any()
    np.testing.assert_array_equal(result.entropy[~failed], whole.entropy[~failed])
    np.testing.assert_array_equal(result.brier[result.labelled], whole.brier[result.labelled])


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 500, 999])
def test_numbers_that_are_not_finite_name_their_row(bad: float, place: int) -> None:
    logits = np.zeros((4000, 1000), np.float32)
    logits[3500:, place] = bad
    with pytest.raises(NonFiniteError, match=r"row 11500 hold NaN or infinity; check the model"):
        outcomes(logits, np.zeros(4000, int), first_row=8000)
    logits[70, place] = bad
    with pytest.raises(NonFiniteError, match=r"row 70 "):
        outcomes(logits, np.zeros(4000, int))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_without_any_number_is_refused(bad: float) -> None:
    with pytest.raises(NonFiniteError, match="row 0 "):
        outcomes(np.full((1, 5), bad, np.float32), np.zeros(1, int))


def test_threads_and_neighbours_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    logits, labels = (
        random.normal(size=(5000, 101)).astype(np.float32),
        random.integers(0, 101, 5000),
    )
    results = []
    for n_threads in (1, 2, 3):
        monkeypatch.setattr(embedstore.accelerate, "n_threads", lambda n=n_threads: n)
        results.append(asdict(outcomes(logits, labels)))
    alone = asdict(outcomes(logits[4321:4322], labels[4321:4322]))
    for name, column in results[0].items():
        assert column.tobytes() == results[1][name].tobytes() == results[2][name].tobytes()
        assert column[4321].tobytes() == alone[name].tobytes()


def test_any_layout_is_read() -> None:
    random = np.random.default_rng(3)
    logits, labels = random.normal(size=(9000, 7)).astype(np.float32), random.integers(0, 7, 9000)
    expected = outcomes(logits, labels).nll.tobytes()
    frozen = logits.copy()
    frozen.flags.writeable = False
    wide = np.repeat(np.repeat(logits, 2, axis=0), 3, axis=1)
    for same in (np.asfortranarray(logits), frozen, wide[::2, ::3], logits[::-1].copy()[::-1]):
        assert outcomes(same, labels).nll.tobytes() == expected
    assert outcomes(logits, labels.astype(np.uint8)).nll.tobytes() == expected
    assert outcomes(logits, np.repeat(labels, 2)[::2].astype(np.int32)).nll.tobytes() == expected


def test_no_rows() -> None:
    result = outcomes(np.zeros((0, 5), np.float32), np.zeros(0, int))
    assert all(column.shape == (0,) for column in asdict(result).values())


@pytest.mark.parametrize(
    ("logits", "labels", "failed", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2, int), None, "logits are float64 .*; give float32"),
        (np.zeros((2, 3), np.float16), np.zeros(2, int), None, "widen stored float16 first"),
        (np.zeros((2, 3), ">f4"), np.zeros(2, int), None, "give float32"),
        (np.zeros(3, np.float32), np.zeros(3, int), None, r"shape \(3,\); give"),
        (np.zeros((2, 0), np.float32), np.zeros(2, int), None, "of 0 classes; give 1 to 65535"),
        (np.zeros((1, 65_536), np.float32), np.zeros(1, int), None, "of 65536 classes; give"),
        (np.zeros((2, 3), np.float32), np.zeros(3, int), None, r"give integers of shape \(2,\)"),
        (np.zeros((2, 3), np.float32), np.zeros(2), None, "labels are float64"),
        (np.zeros((2, 3), np.float32), np.array([0, 3]), None, "label 3 of entry 1 .*give 0 to 2"),
        (np.zeros((2, 3), np.float32), np.array([-2, 0]), None, "label -2 of entry 0"),
        (np.zeros((2, 3), np.float32), np.array([2**63, 0], np.uint64), None, "of entry 0"),
        (np.zeros((2, 3), np.float32), np.zeros(2, int), np.zeros(3, bool), "failed is bool of"),
        (np.zeros((2, 3), np.float32), np.zeros(2, int), np.zeros(2, int), "give booleans"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    logits: F32, labels: npt.NDArray[np.integer], failed: npt.NDArray[np.bool_] | None, message: str
) -> None:
    with pytest.raises(EmbedStoreError, match=message):
        outcomes(logits, labels, failed=failed)


def test_exponential_is_good_to_three_in_ten_million() -> None:
    x = np.linspace(LOWEST, 0, 20_001, dtype=np.float32)
    y = np.array([exp_not_positive(value) for value in x])
    np.testing.assert_allclose(y, np.exp(x.astype(np.float64)), rtol=3e-7)
    assert y[-1] == 1


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="names x86's instructions"
)
@pytest.mark.parametrize(
    ("kernel", "arguments", "packed"),
    [
        (module._key_range, (ROW.view(np.int32),), "pmaxsd|pcmpgtd"),
        (module._first_and_second, (ROW, ROW.view(np.int32), np.float32(0)), "cmp[a-z]*ps"),
        (module._rank, (ROW, 3), "cmp[a-z]*ps"),
        (module._sums, (ROW, np.float32(0)), "mulps|fmadd[0-9]*ps"),
    ],
)
def test_every_loop_is_vectorised(kernel: Any, arguments: tuple[Any, ...], packed: str) -> None:
    # compiled anew, with the project's flags: code from numba's cache shows no assembly
    fresh = numba.njit(fastmath=set(FAST_MATH))(kernel.py_func)  # noqa: TID251
    fresh(*arguments)
    (assembly,) = fresh.inspect_asm().values()
    assert re.search(packed, assembly)


UNCOMPILED = """
import sys
from dataclasses import asdict
import numpy as np
from embedstore.kernels.outcomes import outcomes
given = np.load(sys.argv[1])
np.savez(sys.argv[2], **asdict(outcomes(given["logits"], given["labels"], failed=given["failed"])))
"""


def test_python_agrees_with_the_compiled_kernel(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    logits = random.normal(scale=4, size=(12, 1030)).astype(np.float32)
    logits[:2] = random.integers(-2, 2, size=(2, 1030))
    labels, failed = random.integers(-1, 1030, 12), np.arange(12) == 7
    labels[[0, 3, 11]] = 0, 1029, -1  # the ends of a row: compiled code checks no bounds
    np.savez(tmp_path / "given.npz", logits=logits, labels=labels, failed=failed)
    subprocess.run(
        [sys.executable, "-c", UNCOMPILED, tmp_path / "given.npz", tmp_path / "result.npz"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        check=True,
    )
    result = np.load(tmp_path / "result.npz")
    for name, column in asdict(outcomes(logits, labels, failed=failed)).items():
        np.testing.assert_allclose(result[name], column, rtol=1e-6, atol=1e-6, err_msg=name)
