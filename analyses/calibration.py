"""How far confidences are from accuracies, before and after temperature scaling.

Conventions: bins (lo, hi] of the predicted class's probability, confidence 0 in the first; errors
weigh |accuracy - confidence| by samples, the debiased one is of squares (L2); logits are cut to the
label space before the softmax; one temperature a model and head, fitted on half of one data set.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl

from embedstore.analysis import analysis
from embedstore.in_distribution import AUTO
from embedstore.kernels.bins import Binning, Bins, error_interval, in_bins
from embedstore.kernels.smooth import smooth_calibration_error
from embedstore.schema.runs import CALIBRATION
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun
from embedstore.temperature import ScaledRun, Temperatures, classwise

Brier = Literal["classes", "top-label"]


@analysis
def calibration(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    heads: str = "*",
    n_bins: int = 15,
    binning: Binning = "equal-width",
    brier: Brier = "classes",
    id_dataset: str = AUTO,
    seed: int = 0,
) -> pl.DataFrame:
    """Calibration errors, Brier score and NLL, before and after temperature scaling.

    One temperature a model and head, of least NLL on half of the in-distribution data set, is
    applied to the other half and to every other data set.

    Parameters
    ----------
    store
        Where the outcomes are, and the logits that temperatures and classwise errors need.
    models, datasets, heads
        Globs over names.
    n_bins, binning
        Bins of confidence: of equal width, or of equal mass (Naeini et al., 2015; Nixon et al.,
        2019).
    brier
        Over all classes (Brier, 1950), or of the predicted class alone: (confidence - correct)².
    id_dataset
        What temperatures are fitted on, in whatever data sets `datasets` asks for; ``auto``: the
        one named imagenet or imagenet-val, or the only one; ``none``: fit none.
    seed
        Of the split into halves, and of the draws behind `ece_low` and `ece_high`.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.runs.CALIBRATION`, one row a model, data set, head and label space.

    Raises
    ------
    EmbedStoreError
        If `id_dataset` is to be chosen and several data sets could be it.
    """
    temperatures = Temperatures(store, id_dataset, seed)
    convention = (
        f"(lo, hi]; debiased_ece: L2; interval: basic bootstrap of bin counts; "
        f"brier: {brier}; {temperatures.convention}"
    )
    rows = []
    for run in store.outcome_runs(models, datasets, heads):
        said = _outcomes(store, run)
        judged = said["correct"].is_not_null().to_numpy()
        row: dict[str, Any] = {"binning": binning, "n_bins": n_bins}
        row["n_left_out"] = int((~judged).sum())
        row |= {"convention": convention, "classwise_ece": classwise(store, run, judged, n_bins)}
        row |= _before(said.filter(judged), n_bins, binning, brier, seed)
        row |= _after(temperatures, run, said, n_bins, binning)
        names = {"model": run.model, "dataset": run.dataset, "head": run.head, "space": run.space}
        rows.append(names | row)
    frame = pl.DataFrame(rows, schema=dict(CALIBRATION)).sort("dataset", "model", "head", "space")
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _outcomes(store: Store, run: OutcomeRun) -> pl.DataFrame:
    columns = ("correct", "confidence", "brier", "nll")
    outcomes = store.outcomes(run.model, run.dataset, run.space, heads=run.head)
    return outcomes.select(columns).collect()


def _bins(said: pl.DataFrame, n_bins: int, binning: Binning) -> Bins:
    return in_bins(said["confidence"].to_numpy(), said["correct"].to_numpy(), n_bins, binning)


def _before(
    said: pl.DataFrame, n_bins: int, binning: Binning, brier: Brier, seed: int
) -> dict[str, Any]:
    """Return what outcomes say of the judged samples."""
    found: dict[str, Any] = {"n_samples": said.height, "accuracy": said["correct"].mean()}
    found["nll"] = _mean(said["nll"])
    if said["confidence"].null_count():  # imported predictions without confidences
        return found
    bins = _bins(said, n_bins, binning)
    squares = (said["confidence"].cast(pl.Float64) - said["correct"].cast(pl.Float64)) ** 2
    found["brier"] = _mean(said["brier"] if brier == "classes" else squares)
    found["ece"] = bins.expected_calibration_error
    found["ece_low"], found["ece_high"] = error_interval(bins, seed=seed)
    found["max_calibration_error"] = bins.max_calibration_error
    found["debiased_ece"] = bins.debiased_calibration_error
    found["smooth_ece"] = smooth_calibration_error(
        said["confidence"].to_numpy(), said["correct"].to_numpy()
    )
    return found


def _after(
    temperatures: Temperatures, run: OutcomeRun, said: pl.DataFrame, n_bins: int, binning: Binning
) -> dict[str, Any]:
    """Return what temperature scaling makes of the samples that it was not fitted on."""
    after = temperatures.scaled(run, said["correct"].is_not_null().to_numpy())
    if not isinstance(after, ScaledRun):
        return {"note": f"not scaled, since {after.reason}"}
    before = said[after.rows]
    correct = before["correct"].to_numpy()
    scaled = in_bins(after.confidence, correct, n_bins, binning)
    bound = after.fit.bound
    return {
        "temperature": after.fit.temperature,
        "at_bound": bool(bound),
        "n_scaled": len(after.rows),
        "ece_before": _bins(before, n_bins, binning).expected_calibration_error,
        "ece_scaled": scaled.expected_calibration_error,
        "nll_before": _mean(before["nll"]),
        "nll_scaled": float(np.mean(after.nll)),
        "note": f"temperature at the {bound} of its range" if bound else None,
    }


def _mean(values: pl.Series) -> float | None:
    """Return the mean in float64; null where a sample lacks the value."""
    if values.null_count() or not len(values):
        return None
    return float(values.cast(pl.Float64).to_numpy().mean())
