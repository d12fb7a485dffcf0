"""Linear probes: logistic regression over embeddings, by scikit-learn.

Multinomial, L2, L-BFGS, at most 1,000 iterations, on embeddings as the model gives them (option: of
unit length): the linear probe of CLIP (Radford et al., 2021, app. A.3), which also gives the search
for scikit-learn's C: accuracy on a validation split, at seven values from 1e-6 to 1e6, then at half
the interval around the best one, again and again, down to eight steps a decade.

Dimensions: N samples, C classes, D embedding.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from embedstore.errors import DatasetError, EmbedStoreError
from embedstore.heads.head import Head, unit
from embedstore.heads.recipes import Fitted, Notice, ignore
from embedstore.heads.splits import Split, shots_split, validation_split
from embedstore.heads.training import Training, checked

Bool = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

MAX_ITER = 1000
STEPS_A_DECADE = 8
_LAST = 6 * STEPS_A_DECADE  # C = 1e6; the first is 1e-6
_CORRECTIONS = 10  # pairs of vectors that L-BFGS keeps


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted probe, and how it came about."""

    head: Head
    C: float  # inverse strength of regularisation, as scikit-learn defines it
    validation_accuracy: float | None  # at that C; None where C was given
    n_iter: int
    converged: bool


def fit_linear_probe(
    embeddings: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    class_ids: Sequence[str] | None = None,
    *,
    C: float | None = None,
    validation: Bool | None = None,
    normalize: bool = False,
    max_iter: int = MAX_ITER,
) -> Head:
    """Fit a linear probe: (N, D), (N,) -> a head of the classes that have samples.

    Its logits are scikit-learn's decision function; where there are two classes, and that has one
    column d, they are -d/2 and d/2.

    Parameters
    ----------
    embeddings
        (N, D), finite.
    labels
        (N,) class indices.
    class_ids
        Of all classes that `labels` count; their numbers where None.
    C
        Inverse strength of regularisation; chosen on `validation` where None.
    validation
        (N,) True for samples to choose C on; the probe is then fitted anew on all.
    normalize
        Bring embeddings to unit length first.
    max_iter
        Of L-BFGS.

    Raises
    ------
    DatasetError
        If there is only one class, or labels and embeddings do not fit.
    NonFiniteError
        If an embedding holds NaN or infinity.
    EmbedStoreError
        If neither C nor any sample to choose it on is given.
    """
    names = [str(i) for i in range(int(np.max(labels)) + 1)] if class_ids is None else class_ids
    x, y = checked(embeddings, labels, len(names))
    aside = np.zeros(len(y), np.bool_) if validation is None else validation
    return probe(x, y, names, aside, C=C, normalize=normalize, max_iter=max_iter).head


def probe(
    x: F32,
    y: I64,
    class_ids: Sequence[str],
    validation: Bool,
    *,
    C: float | None,
    normalize: bool = False,
    refit: bool = True,
    max_iter: int = MAX_ITER,
    notice: Notice = ignore,
) -> Probe:
    """Fit a probe as :func:`fit_linear_probe` does; without `refit` on the other samples alone."""
    if C is not None and not (np.isfinite(C) and C > 0):
        raise EmbedStoreError(f"--C {C} is not positive; try --C 1")
    if len(np.unique(y[~validation])) < 2:
        raise DatasetError(
            "there is only one class to fit on; take more samples or a data set of several classes"
        )
    x = unit(x) if normalize else x
    accuracy = None
    if C is None:
        C, accuracy = search_regularisation(x, y, validation, max_iter, notice)
    if not refit:
        x, y = x[~validation], y[~validation]
    model, converged = _regression(x, y, C, max_iter)
    if not converged:
        notice(f"C = {C:.3g}: not converged after {max_iter} iterations")
    weights, bias = np.asarray(model.coef_, np.float32), np.asarray(model.intercept_, np.float32)
    if len(model.classes_) == 2:  # scikit-learn keeps the second class's logit less the first's
        half = np.array([[-0.5], [0.5]], np.float32)
        weights, bias = half * weights, half[:, 0] * bias
    names = tuple(class_ids[i] for i in model.classes_)
    head = Head(names, weights, bias, normalize=normalize)
    return Probe(head, C, accuracy, int(model.n_iter_.max()), converged)


def search_regularisation(
    x: F32, y: I64, validation: Bool, max_iter: int, notice: Notice = ignore
) -> tuple[float, float]:
    """Return the C of the best accuracy on `validation`, and that accuracy; ties to the least C."""
    if not validation.any():
        raise EmbedStoreError(
            "no sample is left to choose C on, since no class has one to spare; give it: --C 1"
        )
    fit = (x[~validation], y[~validation])
    aside, right = x[validation], y[validation]
    accuracies: dict[int, float] = {}
    interval = 2 * STEPS_A_DECADE
    steps = list(range(-_LAST, _LAST + 1, interval))
    n_all = len(steps) + 2 * interval.bit_length() - 2
    while True:
        for step in steps:
            model, _ = _regression(*fit, _strength(step), max_iter)
            accuracies[step] = float(np.mean(model.predict(aside) == right))
            done = f"{len(accuracies)} of at most {n_all}"
            notice(f"C = {_strength(step):.3g}: {accuracies[step]:.4f} on validation ({done})")
        best = max(accuracies, key=lambda step: (accuracies[step], -step))
        interval //= 2
        if interval == 0:
            return _strength(best), accuracies[best]
        steps = [s for s in (best - interval, best + interval) if abs(s) <= _LAST]


def _strength(step: int) -> float:
    return float(10.0 ** (step / STEPS_A_DECADE))


def _regression(x: F32, y: I64, C: float, max_iter: int) -> tuple[Any, bool]:
    """Return scikit-learn's fitted model, and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        model = LogisticRegression(C=C, max_iter=max_iter).fit(x, y)
    return model, not any(w.category is ConvergenceWarning for w in said)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProbe(Fitted):
    """A linear probe; C is chosen on a fifth of the samples, the probe then fitted on all."""

    kind: ClassVar[str] = "linear-probe"
    C: float | None = None
    normalize: bool = False
    max_iter: int = MAX_ITER

    def split(self, samples: Training) -> Split:
        """Set a fifth aside, unless C is given."""
        if self.C is None:
            return validation_split(samples.ids, samples.labels, self.seed)
        return Split(np.arange(len(samples)), np.zeros(0, np.int64))

    def fit(self, samples: Training, split: Split, notice: Notice) -> tuple[Head, dict[str, Any]]:
        """Search and fit."""
        return self._fit(samples, split, notice, refit=True)

    def memory(self, samples: Training, split: Split) -> int:
        """Embeddings in float32, twice during a search, three arrays of logits, L-BFGS's memory."""
        n_classes = len(np.unique(samples.labels))
        n_copies = 1 + (self.C is None) + self.normalize
        n_weights = n_classes * (samples.dim + 1)
        rows = len(split.used) * (n_copies * samples.dim + 3 * n_classes)
        return 4 * rows + 8 * (2 * _CORRECTIONS + 5) * n_weights

    def _fit(
        self, samples: Training, split: Split, notice: Notice, *, refit: bool
    ) -> tuple[Head, dict[str, Any]]:
        from sklearn import __version__

        used = split.used
        found = probe(
            samples.matrix(used),
            samples.labels[used],
            samples.dataset.class_ids,
            np.isin(used, split.validation),
            C=self.C,
            normalize=self.normalize,
            refit=refit,
            max_iter=self.max_iter,
            notice=notice,
        )
        return found.head, {
            "C": found.C,
            "validation_accuracy": found.validation_accuracy,
            "n_iter": found.n_iter,
            "converged": found.converged,
            "scikit-learn": __version__,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KShot(LinearProbe):
    """A linear probe on `shots` samples a class; C is chosen on up to min(shots, 4) others."""

    kind: ClassVar[str] = "k-shot"
    shots: int = 16

    @property
    def default_name(self) -> str:
        """Kind, shots and data set."""
        return f"{self.kind}-{self.shots}--{self.dataset}"

    def split(self, samples: Training) -> Split:
        """Choose shots, and what to validate on, unless C is given."""
        class_ids = samples.dataset.class_ids
        split = shots_split(samples.ids, samples.labels, class_ids, self.shots, self.seed)
        return split if self.C is None else Split(split.fit, split.validation[:0])

    def fit(self, samples: Training, split: Split, notice: Notice) -> tuple[Head, dict[str, Any]]:
        """Search, and fit on the shots alone."""
        return self._fit(samples, split, notice, refit=False)
