from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from embedstore.errors import EmbedStoreError, NonFiniteError
from embedstore.kernels.temperature import TOLERANCE, fit_temperature, scaled


def drawn(n=3000, n_classes=20, seed=0, temperature=2.5, dtype=np.float32):
    """Logits, and labels drawn from their softmax at a known temperature."""
    random = np.random.default_rng(seed)
    logits = (4 * random.standard_normal((n, n_classes))).astype(dtype)
    p = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, (random.random((n, 1)) > p[:, :-1]).sum(axis=1)


def mean_nll(logits, labels, temperature):
    logp = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return -logp[np.arange(len(labels)), labels].mean()


def slope(logits, labels, temperature):
    """dNLL/dβ in float64: what the softmax expects less what the label has."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    expected = (softmax(z / temperature, axis=1) * z).sum(axis=1)
    return (expected - z[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("scale", [1.0, 0.01, 100.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finds_the_least_nll(scale, dtype):
    logits, labels = drawn(dtype=dtype)
    logits = (logits * scale).astype(dtype)
    fit = fit_temperature([(logits, labels)])
    best = minimize_scalar(
        lambda log_t: mean_nll(logits, labels, np.exp(log_t)),
        bounds=np.log(scale) + np.array([-3, 3]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert fit.temperature == pytest.approx(np.exp(best.x), rel=1e-4)
    assert fit.temperature == pytest.approx(2.5 * scale, rel=0.1)  # as planted
    assert abs(slope(logits, labels, fit.temperature)) < 1.1 * TOLERANCE * max(1.0, scale)
    assert fit.nll == pytest.approx(mean_nll(logits, labels, fit.temperature), abs=1e-9)
    assert fit.nll_before == pytest.approx(mean_nll(logits, labels, 1.0), rel=1e-9)
    assert (fit.bound, fit.n_samples) == ("", 3000)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 6), st.floats(-3, 3))
def test_never_raises_nll_and_no_grid_finds_less(seed, n, n_classes, log_scale):
    random = np.random.default_rng(seed)
    logits = random.standard_normal((n, n_classes)).astype(np.float32) * np.float32(10**log_scale)
    labels = random.integers(0, n_classes, n)
    fit = fit_temperature([(logits, labels)])
    assert fit.nll <= fit.nll_before
    if fit.bound == "":
        grid = fit.temperature * np.logspace(-2, 2, 101)
        least = min(mean_nll(logits, labels, t) for t in grid)
        assert fit.nll <= least + 1e-9 * (1 + abs(least))


def test_labels_that_are_always_on_top_have_no_best_temperature():
    logits, _ = drawn(200)
    for scale in (0.01, 1, 100):
        z = logits * np.float32(scale)
        fit = fit_temperature([(z, z.argmax(axis=1))])
        assert fit.bound == "lowest"
        assert fit.nll == pytest.approx(0, abs=1e-3)
        assert 0 < fit.temperature <= 0.02 * scale


def test_labels_below_the_mean_logit_ask_for_the_highest_temperature():
    logits, _ = drawn(200)
    fit = fit_temperature([(logits, logits.argmin(axis=1))])
    assert fit.bound == "highest"
    assert fit.nll == pytest.approx(np.log(20), rel=1e-2)


def test_a_few_samples_that_are_separable_do_not_mislead():
    """The search begins on every fourth sample: there, no label is below the top."""
    logits, labels = drawn(4 * 2048, temperature=2.0)
    labels[::4] = logits[::4].argmax(axis=1)
    fit = fit_temperature([(logits, labels)])
    assert fit.bound == ""
    assert abs(slope(logits, labels, fit.temperature)) < 2 * TOLERANCE


def test_flat_nll_has_no_temperature():
    one_class = fit_temperature([(np.ones((3, 1), np.float32), np.zeros(3, np.int64))])
    assert (one_class.bound, one_class.nll) == ("any", 0.0)
    assert np.isnan(one_class.temperature)
    equal = fit_temperature([(np.full((4, 5), 3.0), np.arange(4))])
    assert equal.bound == "any"
    assert equal.nll == pytest.approx(np.log(5))


def test_one_sample_right_wrong_and_last():
    z = np.array([[2.0, 1.0, -1.0]])
    assert fit_temperature([(z, np.array([0]))]).bound == "lowest"
    assert fit_temperature([(z, np.array([2]))]).bound == "highest"
    between = fit_temperature([(z, np.array([1]))])
    assert between.bound == ""
    assert abs(slope(z, np.array([1]), between.temperature)) < 1.1 * TOLERANCE


def test_parts_and_threads_do_not_change_the_fit(monkeypatch):
    logits, labels = drawn(5000)
    whole = fit_temperature([(logits, labels)])
    parts = [(logits[i : i + 777], labels[i : i + 777]) for i in range(0, 5000, 777)]
    assert fit_temperature(parts).temperature == pytest.approx(whole.temperature, rel=1e-8)
    monkeypatch.setattr("embedstore.accelerate.n_threads", lambda: 1)
    assert fit_temperature([(logits, labels)]) == whole


def test_needs_few_passes():
    logits, labels = drawn(20_000)
    for scale in (0.01, 1.0, 100.0):
        fit = fit_temperature([(logits * np.float32(scale), labels)])
        assert fit.n_passes <= 5


@pytest.mark.parametrize("temperature", [0.01, 0.7, 1.0, 30.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaled_agrees_with_float64(temperature, dtype):
    logits, labels = drawn(50, dtype=dtype)
    found = scaled(logits, labels, temperature)
    z = logits.astype(np.float64) / temperature
    nll = -log_softmax(z, axis=1)[np.arange(50), labels]
    np.testing.assert_allclose(found.nll, nll, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.confidence, softmax(z, axis=1).max(axis=1), rtol=1e-10)
    step = 1e-5
    up, down = (scaled(logits, labels, 1 / (1 / temperature + h)) for h in (step, -step))
    np.testing.assert_allclose(found.slope, (up.nll - down.nll) / (2 * step), atol=1e-4)
    np.testing.assert_allclose(found.curvature, (up.slope - down.slope) / (2 * step), atol=1e-3)


def test_samples_without_a_label_have_a_confidence_and_no_nll():
    found = scaled(np.array([[1.0, 2.0]]), np.array([-1]), 1.0)
    assert np.isnan(found.nll).all()
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-1)))


def test_bad_input_is_refused():
    z, y = np.ones((2, 3), np.float32), np.array([0, 1])
    bad = z.copy()
    for value in (np.nan, np.inf, -np.inf):
        bad[1, 2] = value
        with pytest.raises(NonFiniteError, match="entry 1 hold NaN or infinity; leave"):
            fit_temperature([(bad, y)])
    with pytest.raises(EmbedStoreError, match="fitted to labelled samples; give at least one"):
        fit_temperature([])
    with pytest.raises(EmbedStoreError, match="fitted to labelled samples; give at least one"):
        fit_temperature([(z, np.array([0, -1]))])
    with pytest.raises(EmbedStoreError, match="give a class from 0 to 2"):
        scaled(z, np.array([0, 3]), 1.0)
    with pytest.raises(EmbedStoreError, match="give float32 or float64"):
        scaled(z.astype(np.float16), y, 1.0)
    with pytest.raises(EmbedStoreError, match="give a number above 0"):
        scaled(z, y, 0.0)
