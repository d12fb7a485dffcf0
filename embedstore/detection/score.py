"""Scores by name: how in-distribution (ID) a sample looks; a higher score means more so.

A score is a function of a subject, a model's head over the classes of an ID data set, and of
hyper-parameters of its own. It fits what it needs to the subject's reference samples and returns
what scores a block of samples. Where it means nothing for the subject it raises
:class:`UndefinedScoreError`, and the reason stands in the table in place of a number.

Dimensions: B samples of a block.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from embedstore.detection.subject import BLOCK_ROWS, Block, Subject, UndefinedScoreError
from embedstore.errors import EmbedStoreError

F64 = npt.NDArray[np.float64]

#: Block -> (B,) scores.
Scorer = Callable[[Block], F64]
#: What fits a scorer to a subject.
Fit = TypeVar("Fit", bound=Callable[..., Scorer])
#: What a score is computed from besides embeddings: a head (its rows are a head's, else a model's)
#: and samples to fit it to.
Need = Literal["head", "reference"]


@dataclass(frozen=True, slots=True)
class Score:
    """A function marked with :func:`score`."""

    name: str
    function: Callable[..., Scorer]
    needs: frozenset[Need]
    outcome: str = ""  # the column of outcomes that holds it, with a minus where less is more ID
    block_rows: int = BLOCK_ROWS  # of the blocks that it is given

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters: its hyper-parameters, each with a default."""
        parameters = inspect.signature(self.function, eval_str=True).parameters
        return {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


@dataclass(frozen=True, slots=True)
class Asked:
    """A score with the hyper-parameters that were asked for."""

    score: Score
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """All of them, those left out by their defaults."""
        return {n: p.default for n, p in self.score.parameters.items()} | dict(self.given)

    def used(self, scorer: Scorer) -> dict[str, Any]:
        """All of them, those that are None by what the fitted scorer has under that name."""
        asked = self.hyperparameters
        return {n: getattr(scorer, n, None) if v is None else v for n, v in asked.items()}

    def fit(self, subject: Subject) -> Scorer:
        """Fit it to a subject.

        Raises
        ------
        UndefinedScoreError
            If it means nothing there.
        EmbedStoreError
            If a user's function returns no function.
        """
        scorer = self.score.function(subject, **self.hyperparameters)
        if not callable(scorer):
            raise EmbedStoreError(
                f"the score {self.score.name!r} returns {type(scorer).__name__}; return a function "
                "that takes a block and gives a number for each of its samples"
            )
        return scorer


SCORES: dict[str, Score] = {}


def score(
    name: str, *needs: Need, outcome: str = "", block_rows: int = BLOCK_ROWS
) -> Callable[[Fit], Fit]:
    """Make ``f(subject, *, hyperparameter=default, ...)`` a score.

    Parameters
    ----------
    name
        How it is asked for.
    needs
        `head` if it depends on the head, `reference` if it is fitted to reference samples.
    outcome
        The column of outcomes that holds it at default hyper-parameters, such as `confidence` or
        `-entropy`. The function computes it by `kernels.outcomes`, so that both say the same.
    block_rows
        Samples that are scored at once: more where each block costs a walk over the reference.

    Raises
    ------
    EmbedStoreError
        If another score has that name.
    """

    def mark(function: Fit) -> Fit:
        found = SCORES.get(name)
        if found is not None and inspect.getfile(found.function) != inspect.getfile(function):
            raise EmbedStoreError(f"two scores are named {name!r}; rename one")
        SCORES[name] = Score(name, function, frozenset(needs), outcome, block_rows)
        return function

    return mark


__all__ = ["SCORES", "Asked", "Need", "Score", "Scorer", "UndefinedScoreError", "score"]
