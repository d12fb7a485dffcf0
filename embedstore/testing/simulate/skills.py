"""Skills: the logit of being right on a sample of ease 0. It knows numbers, not models.

Dimensions: R models, N samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

F64 = npt.NDArray[np.float64]


def skills_of(accuracies: F64, ease: F64) -> F64:
    """Return the skills whose mean probability of being right is given: (R,), (N,) -> (R,).

    Parameters
    ----------
    accuracies
        (R,) above 0 and below 1.
    ease
        (N,) logit that a sample adds.
    """
    from scipy.optimize import brentq  # 0.3 s to import, and few callers need it

    values, counts = np.unique(ease, return_counts=True)
    shares, reach = counts / len(ease), 50 + np.abs(values).max()

    def excess(skill: float, accuracy: float) -> float:
        return float(shares @ expit(skill + values)) - accuracy

    found = [brentq(excess, -reach, reach, args=(a,), xtol=1e-12) for a in accuracies]
    return np.array(found, np.float64)
