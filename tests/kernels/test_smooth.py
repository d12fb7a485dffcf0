from __future__ import annotations

import numpy as np
import pytest

from embedstore.kernels.smooth import smooth_calibration_error


def sample(n, power, seed=0):
    random = np.random.default_rng(seed)
    confidence = random.beta(4, 1.5, n)
    return confidence, random.random(n) < confidence**power


def naive(confidence, correct, steps=2000):
    """The definition: kernels reflected at 0 and 1 summed one by one, the width by bisection."""
    t = (np.arange(steps) + 0.5) / steps
    residual = correct - confidence

    def error(width):
        total = np.zeros(steps)
        for c, r in zip(confidence, residual, strict=True):
            for image in (c, -c, 2 - c, 2 + c, c - 2):
                total += r * np.exp(-0.5 * ((t - image) / width) ** 2)
        return np.abs(total).sum() / (steps * width * np.sqrt(2 * np.pi) * len(confidence))

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if error(middle) <= middle else (middle, high)
    return high


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_agrees_with_the_definition(power):
    confidence, correct = sample(60, power)
    found = smooth_calibration_error(confidence, correct)
    assert found == pytest.approx(naive(confidence, correct), abs=2e-4)


def test_agrees_with_the_definition_at_the_ends():
    """A sample at 0 or 1 is its own reflection, and counts as a whole one all the same."""
    confidence = np.array([0.0] * 12 + [0.02] * 7 + [0.5] * 9 + [1.0] * 14)
    correct = np.arange(42) % 3 == 0
    found = smooth_calibration_error(confidence, correct)
    assert found == pytest.approx(naive(confidence, correct), abs=2e-4)


def test_known_answers():
    assert smooth_calibration_error(np.full(10, 1.0), np.ones(10, bool)) == pytest.approx(0)
    # one place, residual 0.9 of one sign: the kernel keeps all of its mass
    assert smooth_calibration_error(np.full(10, 0.9), np.zeros(10, bool)) == pytest.approx(0.9)
    assert smooth_calibration_error(np.array([0.25]), np.array([True])) == pytest.approx(0.75)
    assert smooth_calibration_error(np.full(5, 1.0009), np.ones(5, bool)) == pytest.approx(0)
    assert np.isnan(smooth_calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_float32_and_float64_agree():
    confidence, correct = sample(500, 1.5)
    narrow = smooth_calibration_error(confidence.astype(np.float32), correct)
    assert narrow == pytest.approx(smooth_calibration_error(confidence, correct), abs=1e-6)
