"""A process whose memory `test_fitted_scores.py` watches: scores fitted to a stored data set."""

from __future__ import annotations

import sys
from pathlib import Path


def fit(store: str, *names: str) -> None:
    """Fit scores to the whole data set `data`; none: what opening it takes."""
    from embedstore import Store
    from embedstore.detection.asking import asked_scores
    from embedstore.detection.subject import Part, Subject

    part = Part("data")
    subject = Subject(Store.open(Path(store)), "model", "own", "data", part)
    scorers = [asked.fit(subject) for asked in (asked_scores(",".join(names)) if names else [])]
    first = next(subject.blocks(part))
    for scorer in scorers:
        scorer(first)


if __name__ == "__main__":
    fit(*sys.argv[1:])
