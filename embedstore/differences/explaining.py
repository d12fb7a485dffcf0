"""Explaining the rows of an analysis: from the runs that a row names to what differs of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from embedstore.differences.causes import BY_SAMPLES, Cause, Level, Quantity, explain
from embedstore.differences.findings import counted, place
from embedstore.differences.ingredients import Ingredients
from embedstore.differences.pair import Pair
from embedstore.differences.runs import Causes
from embedstore.schema import RUN
from embedstore.store.outcomes import OutcomeRun

Row = Mapping[str, Any]
#: Names that a row holds, by field of `RUN`; an empty set stands for any.
Named = tuple[frozenset[str], ...]


class Explanation:
    """What can have moved the numbers of an analysis.

    Parameters
    ----------
    pair, causes, ingredients
        What differs of runs, and of what they are made of.
    quantity
        What the analysis's numbers are.
    """

    def __init__(
        self,
        pair: Pair,
        causes: Causes,
        ingredients: Ingredients,
        quantity: Quantity,
    ) -> None:
        self._pair, self._causes, self._quantity = pair, causes, quantity
        self._beside = [d.beside for d in ingredients.datasets.values()]
        self._beside += [m.factors for m in ingredients.models.values()]
        runs = (*pair.a.runs, *pair.b.runs)
        self._known = [{getattr(run, field) for run in runs} for field in RUN]
        self._found: dict[Named, list[OutcomeRun]] = {}

    def because(self, key: Row, texts: Sequence[str], conventions: Sequence[Cause]) -> str:
        """Say what explains the numbers of a row.

        Parameters
        ----------
        key
            Columns that tell the row apart, and their values.
        texts
            All texts of the row: they may name annotations, or factors of design.
        conventions
            Texts of the row that differ.
        """
        named = self._named(key)
        beside = [*conventions, *self._lone(named), *self._facts(texts)]
        first = ""
        for runs in self._scopes(named):
            causes = [*(cause for run in runs for cause in self._causes[run]), *beside]
            said = explain(causes, self._quantity, subjects=len(runs) > 1)
            if any(cause.accounts_for(self._quantity) for cause in causes):
                return said
            first = first or said
        # An analysis may lean on annotations and factors that it does not name.
        unnamed = self._facts(None)
        return explain(unnamed, self._quantity, subjects=True) if unnamed else first

    def has_runs(self, key: Row) -> bool:
        """Whether both stores hold a run that a row is about."""
        return bool(self._runs(self._named(key)))

    def _scopes(self, named: Named) -> Iterator[list[OutcomeRun]]:
        """Yield the row's own runs; then what it may lean on: its models' runs, and all."""
        yield self._runs(named)
        if self._quantity != "accuracy":  # which is of one run alone
            yield [run for run in self._causes if run.model in named[0]]
            yield list(self._causes)

    def _runs(self, named: Named) -> list[OutcomeRun]:
        if named not in self._found:
            self._found[named] = [run for run in self._causes if _is_about(run, named)]
        return self._found[named]

    def _lone(self, named: Named) -> list[Cause]:
        """Return runs of one store alone that a row over several runs is made of."""
        model, dataset, head, _ = named
        lone = [run for run in self._pair.lone_runs if _is_about(run, named)]
        if not lone or (model and dataset and head):
            return []
        first = place(lone[0].model, lone[0].dataset, lone[0].head)
        reason = f"{counted(len(lone), 'run')} in one store alone, such as {first}"
        return [Cause(Level.DATASET, "", reason, BY_SAMPLES)]

    def _facts(self, texts: Sequence[str] | None) -> list[Cause]:
        """Return annotations and factors that differ: those that the texts name; None: all."""
        return [
            cause
            for causes in self._beside
            for name, cause in causes.items()
            if texts is None or any(t == name or t.startswith(f"{name}=") for t in texts)
        ]

    def _named(self, key: Row) -> Named:
        """Return which models, data sets, heads and label spaces a key names."""
        texts = [(column, value) for column, value in key.items() if isinstance(value, str)]
        return tuple(
            frozenset(
                value
                for column, value in texts
                if column == field or (column not in RUN and value in known)
            )
            for field, known in zip(RUN, self._known, strict=True)
        )


def _is_about(run: OutcomeRun, named: Named) -> bool:
    fields = (run.model, run.dataset, run.head, run.space)
    return all(not names or field in names for field, names in zip(fields, named, strict=True))
