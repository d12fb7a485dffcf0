"""Tests of language models against their own image encoders, by how hard classes are for these.

Where a language model's answers are stored, both are judged among the options that it was given, as
by the analysis `interaction`; where its outcomes alone are, by these.

Dimensions: N samples, K draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from embedstore.claims.evidence import DEFAULT_PROMPTS, Evidence
from embedstore.claims.finding import Finding
from embedstore.errors import EmbedStoreError
from embedstore.interaction.encoders import asked_of, encoder_runs, own_encoder
from embedstore.interaction.hardness import QUANTILE, OnClasses, Side, on_classes
from embedstore.interaction.judging import answered, judged
from embedstore.pairing import comparisons
from embedstore.stats.bootstrap import bootstrap_means, percentile_interval
from embedstore.stats.paired import PairedCounts, mcnemar, paired_counts
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun


@dataclass(frozen=True, slots=True)
class Beside:
    """A language model and its encoder on the same samples."""

    model: str
    encoder: str
    dataset: str
    samples: pl.DataFrame  # (N,) rows: `sample_id`, `label`, right `first` and `second`, `many_way`
    note: str | None  # what makes the two less comparable


@dataclass(frozen=True, slots=True)
class AgainstEncoder:
    """Accuracy of language models less that of their encoders, on hard or on easy classes."""

    side: Side

    @property
    def recipe(self) -> str:
        """What is tested."""
        return (
            "accuracy of each language model less that of its encoder (zoo column vision_encoder) "
            f"on the {QUANTILE:.0%} of classes {self.side} for the encoder on the other half of "
            "the samples (hash of ids), among the same options where answers are stored, mean over "
            "models and data sets, samples resampled; p: exact McNemar, the largest over models"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """No published results say what was answered of each sample."""
        return ()

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        statistic = "mean difference of accuracy"
        found, notes = evidence.once(("language",), lambda: compared(evidence.store))
        names = [beside.model for beside in found]
        n_models = len({*names, *(beside.encoder for beside in found)})
        if not found:
            detail = "no language model stands beside its encoder on a labelled data set"
            lacking = Finding.lacking(statistic, 0, 0, detail)
            return _noted(lacking, notes)
        kept = [self._kept(beside, evidence) for beside in found]
        rows = [(k.samples["first"].to_numpy(), k.samples["second"].to_numpy()) for k in kept]
        n, seed = evidence.n_resamples, evidence.seed
        gains = [a.astype(np.float64) - b for a, b in rows]
        drawn = np.mean([bootstrap_means(g, n_resamples=n, seed=seed)[:, 0] for g in gains], axis=0)
        low, high = (float(bound) for bound in percentile_interval(drawn))
        counts = [paired_counts(a, b) for a, b in rows]
        p = max(float(mcnemar(c.first_only, c.second_only)) for c in counts)
        detail = "; ".join(_sentence(c, beside) for c, beside in zip(counts, found, strict=True))
        value = float(np.mean([g.mean() for g in gains]))
        finding = Finding(statistic, value, n_models, len(set(names)), detail, low, high, p)
        of_each = (beside.note for beside in found), (k.note for k in kept)
        return _noted(finding, [*notes, *(note for of in of_each for note in of if note)])

    def _kept(self, beside: Beside, evidence: Evidence) -> OnClasses:
        """Return the samples of hard or easy classes."""
        record = evidence.store.dataset(beside.dataset)
        return on_classes(beside.samples, "many_way", self.side, record, seed=evidence.seed)


def compared(store: Store) -> tuple[list[Beside], list[str]]:
    """Return each language model beside its encoder, a row a data set, and what stood against."""
    found: list[Beside] = []
    notes = []
    for name in store.models:
        encoder = own_encoder(store, name)
        if encoder is None:
            continue
        by = _by_answers if asked_of(store, name) else _by_outcomes
        try:
            found += by(store, name, encoder)
        except EmbedStoreError as error:
            notes.append(str(error))
    return found, notes


def _by_answers(store: Store, model: str, encoder: str) -> Iterator[Beside]:
    """Yield the two among the same options, one a data set and protocol."""
    for asked in asked_of(store, model):
        said = answered(store, asked, "per-token", None)
        run = min(encoder_runs(store, asked, encoder), key=_rank)
        both = judged(store, said, run)
        if not both.samples["choice_known"].all():
            raise EmbedStoreError(str(both.note))
        right = {
            name: (pl.col(of) == pl.col("label")).fill_null(value=False)
            for name, of in (("first", "decision"), ("second", "choice"))
        }
        samples = both.samples.select("sample_id", "label", many_way="correct", **right)
        yield Beside(model, encoder, asked.dataset, samples, both.note)


def _by_outcomes(store: Store, model: str, encoder: str) -> Iterator[Beside]:
    """Yield the two in the same label space, one a data set and space."""
    for comparison in comparisons(store, model, encoder, rows="common"):
        samples = (
            comparison.outcomes.hstack(comparison.samples.select("sample_id", "label"))
            .with_columns(many_way="second")
            .drop_nulls(["first", "second", "label"])
        )
        yield Beside(model, encoder, comparison.first.dataset, samples, comparison.note)


def _rank(run: OutcomeRun) -> tuple[bool, bool, str]:
    """Order heads: of the zoo's default prompts, the model's own, others by name."""
    return not run.head.startswith(DEFAULT_PROMPTS), run.head != "own", run.head


def _sentence(counts: PairedCounts, beside: Beside) -> str:
    return (
        f"of {counts.n_samples} samples of {beside.dataset} {beside.model} alone is right on "
        f"{counts.first_only}, {beside.encoder} alone on {counts.second_only}, both on "
        f"{counts.both}"
    )


def _noted(finding: Finding, notes: list[str]) -> Finding:
    return replace(finding, note="; ".join(dict.fromkeys(notes)))
