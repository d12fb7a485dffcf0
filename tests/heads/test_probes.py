"""Linear probes beside scikit-learn run directly on the same arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from embedstore.errors import DatasetError, EmbedStoreError, NonFiniteError
from embedstore.heads import fit_linear_probe, unit
from embedstore.heads.probes import probe, search_regularisation

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(4, 12))


def clusters(n: int, n_classes: int = 4, spread: float = 1.5):
    y = RANDOM.integers(0, n_classes, n)
    x = CENTRES[y] + spread * RANDOM.normal(size=(n, 12))
    return x.astype(np.float16), y


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("normalize", [False, True])
def test_logits_are_scikit_learns_decision_function(n_classes, normalize):
    x, y = clusters(200, n_classes)
    fresh, _ = clusters(300, n_classes)
    names = tuple("abcd"[:n_classes])
    head = fit_linear_probe(x, y, names, C=0.7, normalize=normalize)
    shaped = unit if normalize else lambda v: v
    x32, fresh32 = shaped(x.astype(np.float32)), shaped(fresh.astype(np.float32))
    direct = LogisticRegression(C=0.7, max_iter=1000).fit(x32, y)
    logits = head.logits(fresh)
    decided = direct.decision_function(fresh32)
    if n_classes == 2:
        np.testing.assert_allclose(logits[:, 1] - logits[:, 0], decided, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_allclose(logits, decided, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(logits.argmax(1), direct.predict(fresh32))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    softmax = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(softmax, direct.predict_proba(fresh32), atol=1e-5)
    assert (head.class_ids, head.normalize) == (names, normalize)


def test_classes_without_samples_are_unknown_to_the_head():
    x, y = clusters(60)
    y[y == 1] = 3
    assert fit_linear_probe(x, y, tuple("abcd"), C=1).class_ids == ("a", "c", "d")


def test_the_search_finds_the_best_strength_of_its_grid():
    x, y = clusters(150, spread=4)
    validation = np.arange(150) % 3 == 0
    heard: list[str] = []
    C, accuracy = search_regularisation(np.float32(x), y, validation, 1000, heard.append)
    tried = np.array([float(line.split()[2].rstrip(":")) for line in heard])
    said = np.array([float(line.split()[3]) for line in heard])
    assert len(heard) == len(set(tried)) <= 15
    assert {1e-6, 1e-4, 1e-2, 1, 100, 1e4, 1e6} <= set(tried)
    steps = 8 * np.log10(C)
    assert abs(steps - round(steps)) < 1e-9

    def scored(c):
        model = LogisticRegression(C=c, max_iter=1000).fit(
            np.float32(x)[~validation], y[~validation]
        )
        return model.score(np.float32(x)[validation], y[validation])

    assert scored(C) == accuracy == pytest.approx(said.max(), abs=1e-4)
    least = tried[said == said.max()].min()  # as printed, to three digits
    assert abs(C / least - 1) < 1e-2


def test_after_the_search_the_probe_is_fitted_on_all_or_on_the_rest():
    x, y = clusters(90)
    validation = np.arange(90) % 4 == 0
    whole = probe(np.float32(x), y, "abcd", validation, C=None)
    expected = fit_linear_probe(x, y, "abcd", C=whole.C)
    np.testing.assert_array_equal(whole.head.weights, expected.weights)
    rest = probe(np.float32(x), y, "abcd", validation, C=None, refit=False)
    expected = fit_linear_probe(x[~validation], y[~validation], "abcd", C=rest.C)
    np.testing.assert_array_equal(rest.head.weights, expected.weights)
    assert whole.validation_accuracy == rest.validation_accuracy


def test_a_probe_that_did_not_converge_says_so():
    x, y = clusters(90)
    heard: list[str] = []
    found = probe(
        np.float32(x), y, "abcd", np.zeros(90, bool), C=1e4, max_iter=2, notice=heard.append
    )
    assert (found.converged, found.n_iter) == (False, 2)
    assert heard == ["C = 1e+04: not converged after 2 iterations"]


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({"y": np.zeros(20, int)}, {"C": 1}, DatasetError, "only one class to fit on"),
        ({"y": np.arange(20) % 3 - 1}, {"C": 1}, DatasetError, "label -1 of row 0 is not a class"),
        ({"y": np.arange(19) % 3}, {"C": 1}, DatasetError, "do not fit; give"),
        ({"x": np.full((20, 12), np.nan)}, {"C": 1}, NonFiniteError, "row 0 holds NaN"),
        ({}, {}, EmbedStoreError, "no sample is left to choose C on.*--C 1"),
        ({}, {"C": -1.0}, EmbedStoreError, "--C -1.0 is not positive"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, options, error, message):
    values = {"x": RANDOM.normal(size=(20, 12)), "y": np.arange(20) % 3, **change}
    with pytest.raises(error, match=message):
        fit_linear_probe(values["x"], values["y"], "abc", **options)
