"""The sweep's kernel against the outcome kernel and its bins, and scores against float64."""

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
from scipy.special import logsumexp, softmax

from embedstore.kernels.bins import in_bins
from embedstore.kernels.outcomes import outcomes
from embedstore.kernels.sweep import CONFIDENCE, COUNT, HITS, NLL, tally

ROOT = Path(__file__).parents[2]
F32 = npt.NDArray[np.float32]
SCORES = {
    "mcm": lambda z, scale: softmax(z / scale, axis=1).max(axis=1),
    "msp": lambda z, scale: softmax(z, axis=1).max(axis=1),
    "energy": lambda z, scale: logsumexp(z, axis=1),
    "max-logit": lambda z, scale: z.max(axis=1),
}


def swept(logits, labels, score=None, n_bins=15, scale=20.0) -> tuple[np.ndarray, F32]:
    sums = np.zeros((n_bins, 4))
    scores = np.full(len(logits) if score else 0, np.nan, np.float32)
    tally(logits, labels, sums, scores, score or "mcm", scale)
    return sums, scores


def assert_as_outcomes(logits: F32, labels: npt.NDArray[np.int64], n_bins: int = 15) -> None:
    """Counts and hits equal exactly, sums to rounding; what has no label is not summed."""
    said, (sums, _) = outcomes(logits, labels), swept(logits, labels, n_bins=n_bins)
    known = said.labelled
    bins = in_bins(said.confidence[known], said.correct[known], n_bins)
    np.testing.assert_array_equal(sums[:, COUNT], bins.counts)
    np.testing.assert_array_equal(sums[:, HITS], bins.hits)
    np.testing.assert_allclose(sums[:, CONFIDENCE], bins.confidence, rtol=1e-6, atol=1e-9)
    nll = said.nll[known].sum(dtype=np.float64)
    np.testing.assert_allclose(sums[:, NLL].sum(), nll, rtol=1e-6, atol=1e-6 * known.sum())


@pytest.mark.parametrize("n_classes", [1, 2, 17, 1000, 1024, 1025, 5000])
@pytest.mark.parametrize("spread", [0.01, 3.0, 100.0])
def test_random_logits(n_classes, spread):
    random = np.random.default_rng(n_classes)
    logits = random.normal(scale=spread, size=(60, n_classes)).astype(np.float32)
    assert_as_outcomes(logits, random.integers(-1, n_classes, 60))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_ties_and_any_moderate_logits(data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 70)))
    few = st.sampled_from([-2.0, -0.0, 0.0, 1.0])
    elements = data.draw(st.sampled_from([few, st.floats(-200, 200, width=32)]))
    logits = data.draw(hnp.arrays(np.float32, shape, elements=elements))
    labels = data.draw(hnp.arrays(np.int64, shape[0], elements=st.integers(-1, shape[1] - 1)))
    assert_as_outcomes(logits, labels, data.draw(st.integers(1, 20)))


@pytest.mark.parametrize("score", SCORES)
def test_scores_against_float64(score):
    random = np.random.default_rng(1)
    logits = (20 * random.uniform(-1, 1, (50, 1030))).astype(np.float32)
    expected = SCORES[score](logits.astype(np.float64), 20.0)
    _, scores = swept(logits, np.full(50, -1), score)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_sums_are_added_to_and_no_score_is_written_unasked():
    logits, labels = np.eye(3, dtype=np.float32), np.array([0, 0, -1])
    sums, none = np.ones((2, 4)), np.zeros(0, np.float32)
    tally(logits, labels, sums, none)
    assert sums[:, COUNT].sum() == 2 + 2
    assert sums[:, HITS].sum() == 2 + 1


UNCOMPILED = """
import sys
import numpy as np
from embedstore.kernels.sweep import tally

given = np.load(sys.argv[1])
sums, scores = np.zeros((15, 4)), np.zeros(len(given["logits"]), np.float32)
tally(given["logits"], given["labels"], sums, scores, "mcm", 20.0)
np.savez(sys.argv[2], sums=sums, scores=scores)
"""


def test_python_agrees_with_the_compiled_kernel(tmp_path):
    random = np.random.default_rng(4)
    logits = random.normal(scale=4, size=(8, 1030)).astype(np.float32)
    logits[:2] = random.integers(-2, 2, size=(2, 1030))
    labels = np.array([0, 1029, -1, 5, 700, 3, 0, 1029])  # the ends of a row: no bounds are checked
    np.savez(tmp_path / "given.npz", logits=logits, labels=labels)
    subprocess.run(
        [sys.executable, "-c", UNCOMPILED, tmp_path / "given.npz", tmp_path / "result.npz"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        check=True,
    )
    result, (sums, scores) = np.load(tmp_path / "result.npz"), swept(logits, labels, "mcm")
    np.testing.assert_allclose(result["sums"], sums, rtol=1e-6, atol=1e-9)
    # one float32 sum here, one a lane there
    np.testing.assert_allclose(result["scores"], scores, rtol=1e-5)
