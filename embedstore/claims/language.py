"""Tests of language models against their own image encoders, by how hard classes are for these.

A class is hard or easy by the encoder's accuracy on the *other* half of the samples, parted by a
hash of their ids: chance errors of one half do not choose what is measured on it.

Dimensions: N samples, K draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import zoo
from embedstore.claims.evidence import Evidence
from embedstore.claims.finding import Finding
from embedstore.errors import EmbedStoreError
from embedstore.heads.splits import hashed
from embedstore.pairing import Comparison, comparisons
from embedstore.stats.bootstrap import bootstrap_means, percentile_interval
from embedstore.stats.paired import PairedCounts, mcnemar, paired_counts
from embedstore.store import Store

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
Side = Literal["hardest", "easiest"]

#: Share of the classes that are hard, and that are easy.
QUANTILE = 0.25
_WEIGHTS = "-quickgelu"  # in a name of open_clip: an activation, not other weights


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
            "the samples (hash of ids), mean over models and data sets, samples resampled; p: "
            "exact McNemar, the largest over models"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """No published results say what was answered of each sample."""
        return ()

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        statistic = "mean difference of accuracy"
        found, notes = compared(evidence.store)
        names = [comparison.first.model for comparison in found]
        n_models = len({*names, *(comparison.second.model for comparison in found)})
        if not found:
            detail = "no language model stands beside its encoder on a labelled data set"
            lacking = Finding.lacking(statistic, 0, 0, detail)
            return _noted(lacking, notes)
        rows = [self._rows(comparison, evidence.seed) for comparison in found]
        n, seed = evidence.n_resamples, evidence.seed
        gains = [a.astype(np.float64) - b for a, b in rows]
        drawn = np.mean([bootstrap_means(g, n_resamples=n, seed=seed)[:, 0] for g in gains], axis=0)
        low, high = (float(bound) for bound in percentile_interval(drawn))
        counts = [paired_counts(a, b) for a, b in rows]
        p = max(float(mcnemar(c.first_only, c.second_only)) for c in counts)
        detail = "; ".join(
            _sentence(c, comparison) for c, comparison in zip(counts, found, strict=True)
        )
        value = float(np.mean([g.mean() for g in gains]))
        finding = Finding(statistic, value, n_models, len(set(names)), detail, low, high, p)
        return _noted(finding, [*notes, *(c.note for c in found if c.note)])

    def _rows(self, comparison: Comparison, seed: int) -> tuple[Bool, Bool]:
        """Return who is right on the samples of hard or easy classes: (N,), (N,)."""
        frame = comparison.outcomes.with_columns(
            comparison.samples["label"],
            half=hashed(comparison.samples["sample_id"].to_list(), seed, "hard classes") < 0.5,
        ).drop_nulls(["first", "second", "label"])
        parts = [
            frame.filter(pl.col("half") == half).join(
                chosen_classes(frame.filter(pl.col("half") != half), self.side), "label", "semi"
            )
            for half in (False, True)
        ]
        kept = pl.concat(parts)
        if kept.is_empty():
            raise EmbedStoreError(
                f"no class of {comparison.first.dataset!r} has samples in both halves; compare "
                "language models on more samples"
            )
        return kept["first"].to_numpy(), kept["second"].to_numpy()


def chosen_classes(judged: pl.DataFrame, side: Side) -> pl.DataFrame:
    """Return the hard or easy classes by column `second`: N rows -> `label`, a row a class."""
    accuracy = judged.group_by("label").agg(pl.col("second").mean()).sort("label")
    if side == "hardest":
        chosen = pl.col("second") <= pl.col("second").quantile(QUANTILE, "lower")
    else:
        chosen = pl.col("second") >= pl.col("second").quantile(1 - QUANTILE, "higher")
    return accuracy.filter(chosen).select("label")


def compared(store: Store) -> tuple[list[Comparison], list[str]]:
    """Return each language model beside its encoder, a row a data set, and what stood against."""
    specs = {name: store.model(name).spec for name in store.models}
    by_weights = {_weights(spec): name for name, spec in specs.items()}
    found: list[Comparison] = []
    notes = []
    for name, spec in specs.items():
        encoder = (zoo.find(spec) or {}).get("vision_encoder")
        clip = by_weights.get(_weights(encoder)) if encoder else None
        if clip is None:
            continue
        try:
            found += comparisons(store, name, clip, rows="common")
        except EmbedStoreError as error:
            notes.append(str(error))
    return found, notes


def _weights(spec: str) -> str:
    """Return a SPEC that is the same for the same weights."""
    known = zoo.find(spec)
    return str(known["spec"] if known else spec).replace(_WEIGHTS, "")


def _sentence(counts: PairedCounts, comparison: Comparison) -> str:
    run, other = comparison.first, comparison.second
    return (
        f"of {counts.n_samples} samples of {run.dataset} {run.model} alone is right on "
        f"{counts.first_only}, {other.model} alone on {counts.second_only}, both on {counts.both}"
    )


def _noted(finding: Finding, notes: list[str]) -> Finding:
    return replace(finding, note="; ".join(dict.fromkeys(notes)))
