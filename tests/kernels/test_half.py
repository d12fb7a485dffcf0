"""Half precision against NumPy's own casts, bit for bit, compiled and not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedstore.errors import EmbedStoreError
from embedstore.kernels.half import narrow, widen
from embedstore.kernels.outcomes import outcomes

ROOT = Path(__file__).parents[2]
F32 = npt.NDArray[np.float32]
EVERY_HALF = np.arange(2**16, dtype=np.uint16).reshape(4096, 16)


def bits(x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    return x.view(np.uint32)


def test_every_half_is_widened_as_numpy_does() -> None:
    np.testing.assert_array_equal(
        bits(widen(EVERY_HALF)), bits(EVERY_HALF.view(np.float16).astype(np.float32))
    )


def test_maximum_is_added_to_its_row() -> None:
    maximum = np.linspace(-30, 30, 4096, dtype=np.float32)
    finite = np.where((EVERY_HALF & 0x7C00) == 0x7C00, 0, EVERY_HALF).astype(np.uint16)
    expected = finite.view(np.float16).astype(np.float32) + maximum[:, None]
    np.testing.assert_array_equal(widen(finite, maximum), expected)


def test_any_layout_is_widened_and_out_is_filled() -> None:
    out = np.empty(EVERY_HALF.shape, np.float32)
    frozen = EVERY_HALF.copy()
    frozen.flags.writeable = False
    assert widen(frozen, out=out) is out
    turned = np.asfortranarray(EVERY_HALF)
    np.testing.assert_array_equal(bits(widen(turned)), bits(out))
    np.testing.assert_array_equal(bits(widen(EVERY_HALF[::2])), bits(out[::2]))
    assert widen(EVERY_HALF[:0]).shape == (0, 16)


def around_every_half() -> F32:
    """Each float16, each midpoint between two, and the floats beside these: (N,)."""
    halves = EVERY_HALF.ravel().view(np.float16).astype(np.float32)
    exact = bits(halves[np.isfinite(halves)])
    near = np.concatenate([exact + np.uint32(step) for step in (0, 1, 0xFFF, 0x1000, 0x1001)])
    subnormal = (np.arange(0, 1026, dtype=np.float32) + np.float32(0.5)) * np.float32(2.0**-24)
    return np.concatenate([near.view(np.float32), subnormal, -subnormal])


def assert_narrowed_as_by_numpy(logits: F32) -> None:
    halves, maximum = narrow(logits)
    np.testing.assert_array_equal(maximum, logits.max(axis=1))
    with np.errstate(over="ignore"):
        below = np.maximum(logits - maximum[:, None], np.float32(-65504))
    np.testing.assert_array_equal(halves.view(np.uint16), below.astype(np.float16).view(np.uint16))


def test_every_rounding_is_numpys() -> None:
    values = around_every_half()
    rows = np.stack([np.zeros_like(values), -np.abs(values)], axis=1)  # less a maximum of 0
    assert_narrowed_as_by_numpy(rows)


@settings(deadline=None, max_examples=200)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.integers(1, 40)),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32)
        | st.floats(-50, 50, width=32),
    )
)
def test_any_finite_logits_are_narrowed_as_by_numpy(logits: F32) -> None:
    assert_narrowed_as_by_numpy(logits)


def test_finite_logits_stay_finite() -> None:
    halves, _ = narrow(np.array([[0, -65_519, -65_520, -1e30], [3e38, -3e38, 0, 0]], np.float32))
    assert halves.tolist() == [[0, -65_504, -65_504, -65_504], [0, -65_504, -65_504, -65_504]]


def test_failed_rows_stay_nan_and_infinity_stays_seen() -> None:
    logits = np.array([[np.nan, np.nan], [1, 2], [1, np.nan], [0, -np.inf]], np.float32)
    halves, maximum = narrow(logits)
    np.testing.assert_array_equal(
        halves, np.array([[np.nan] * 2, [-1, 0], [np.nan] * 2, [0, -np.inf]], np.float16)
    )
    np.testing.assert_array_equal(maximum, np.array([np.nan, 2, np.nan, 0], np.float32))
    assert np.isnan(widen(halves.view(np.uint16), maximum)[0]).all()


def test_stored_logits_keep_predictions_and_mean_nll() -> None:
    random = np.random.default_rng(0)
    logits = (random.normal(size=(2000, 1000)) * 3 + 25).astype(np.float32)
    labels = random.integers(0, 1000, 2000)
    halves, maximum = narrow(np.asfortranarray(logits))
    live = outcomes(logits, labels)
    stored = outcomes(widen(halves.view(np.uint16), maximum), labels)
    np.testing.assert_array_equal(stored.prediction, live.prediction)
    np.testing.assert_array_equal(stored.max_logit, live.max_logit)
    assert stored.nll.mean(dtype=float) == pytest.approx(live.nll.mean(dtype=float), abs=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: widen(EVERY_HALF.view(np.float16)), "bits are float16 .*view"),
        (lambda: widen(EVERY_HALF[0]), "two dimensions"),
        (lambda: widen(EVERY_HALF, np.zeros(3, np.float32)), "give one a row"),
        (lambda: widen(EVERY_HALF, out=np.empty((4096, 16))), "out is float64"),
        (lambda: widen(EVERY_HALF, out=np.empty((16, 4096), np.float32).T), "C-contiguous"),
        (lambda: narrow(np.zeros((2, 3))), "give float32"),
        (lambda: narrow(np.zeros((2, 0), np.float32)), "at least one class"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, message: str) -> None:
    with pytest.raises(EmbedStoreError, match=message):
        call()


UNCOMPILED = """
import sys
import numpy as np
from embedstore.kernels.half import narrow, widen
given = np.load(sys.argv[1])
halves, maximum = narrow(given["logits"])
np.savez(sys.argv[2], halves=halves, maximum=maximum, wide=widen(given["bits"]))
"""


def test_python_agrees_with_the_compiled_kernels(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(scale=10.0 ** np.arange(-6, 4)[:, None], size=(10, 333))
    logits = logits.astype(np.float32)
    logits[4] = np.nan
    np.savez(tmp_path / "given.npz", logits=logits, bits=EVERY_HALF[::7])
    subprocess.run(
        [sys.executable, "-c", UNCOMPILED, tmp_path / "given.npz", tmp_path / "result.npz"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        check=True,
    )
    result = np.load(tmp_path / "result.npz")
    halves, maximum = narrow(logits)
    np.testing.assert_array_equal(result["halves"].view(np.uint16), halves.view(np.uint16))
    np.testing.assert_array_equal(result["maximum"], maximum)
    np.testing.assert_array_equal(bits(result["wide"]), bits(widen(EVERY_HALF[::7])))
