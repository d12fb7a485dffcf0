"""Columns of the analyses' tables that hold a row a run, or several: one model over one data set.

Bounds are of 95 % intervals unless a comment says otherwise.
"""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: Top-1 and top-5 accuracy; bounds are 95 % Clopper-Pearson.
ACCURACY = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "head": pl.String,
        "n_samples": pl.Int64,  # labelled pictures that could be read
        "top1_accuracy": pl.Float64,
        "top5_accuracy": pl.Float64,
        "mean_class_accuracy": pl.Float64,  # mean over the classes that have samples
        "top1_low": pl.Float64,
        "top1_high": pl.Float64,
        "n_left_out": pl.Int64,  # failed pictures, and those without a label in the space
        "space": pl.String,
    }
)

#: Accuracy where a factor is present, beside accuracy on all annotated samples. Bounds are 95 %,
#: of the accuracy Clopper-Pearson, of the error ratio the delta method's on multinomial counts.
FACTOR_TABLE = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "head": pl.String,
        "space": pl.String,
        "factor": pl.String,  # a column of true and false, or `column=value`
        "n_samples": pl.Int64,  # judged samples that the factor marks
        "accuracy": pl.Float64,  # of these; null where there is none
        "error_ratio": pl.Float64,  # their error over the overall error; null where there is none
        "overall_accuracy": pl.Float64,  # of the judged samples whose column is not null
        "worst_factor": pl.Float64,  # the least accuracy of the run's factors
        "accuracy_low": pl.Float64,
        "accuracy_high": pl.Float64,
        "error_ratio_low": pl.Float64,
        "error_ratio_high": pl.Float64,
        "n_correct": pl.Int64,  # of n_samples
        "n_overall": pl.Int64,  # judged samples whose column is not null
        "n_left_out": pl.Int64,  # annotated, but failed or without a label in the space
        "excluded": pl.String,  # column whose true samples are left out; null where none is
        "convention": pl.String,
    }
)

#: Decisions on pictures of one class's shape and another's texture; bounds are Clopper-Pearson.
SHAPE_BIAS = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "head": pl.String,
        "space": pl.String,
        "protocol": pl.String,  # how classes were asked for; null where that is not known
        "class_name": pl.String,  # of the shape; null over all classes
        "n_conflict": pl.Int64,  # judged pictures whose shape and texture differ
        "shape_decisions": pl.Int64,
        "texture_decisions": pl.Int64,
        "shape_bias": pl.Float64,  # shape over shape and texture; null where there is neither
        "shape_accuracy": pl.Float64,  # shape over n_conflict
        "shape_bias_low": pl.Float64,
        "shape_bias_high": pl.Float64,
        "shape_accuracy_low": pl.Float64,
        "shape_accuracy_high": pl.Float64,
        "n_ties": pl.Int64,  # two classes equally likely: the first one counts; null if not known
        "n_left_out": pl.Int64,  # pictures with conflict that failed or were not asked
    }
)

#: Two models that differ in the resolution of their pictures alone.
RESOLUTION_PAIRS = MappingProxyType(
    {
        "architecture": pl.String,
        "training_distribution": pl.String,
        "fine_tuning": pl.String,
        "dataset": pl.String,  # of the shape bias
        "protocol": pl.String,
        "model": pl.String,  # of the lower resolution
        "resolution": pl.Int32,
        "model_high": pl.String,
        "resolution_high": pl.Int32,
        "shape_bias": pl.Float64,
        "shape_bias_high": pl.Float64,
        "imagenet_accuracy": pl.Float64,  # null where the store lacks it
        "imagenet_accuracy_high": pl.Float64,
        "stylized_accuracy": pl.Float64,
        "stylized_accuracy_high": pl.Float64,
    }
)

#: Calibration before and after temperature scaling. Errors are of probabilities, 0 to 1, NLL in
#: nats; null where they cannot be computed, and `note` says why.
CALIBRATION = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "head": pl.String,
        "space": pl.String,
        "binning": pl.String,  # equal-width or equal-mass
        "n_bins": pl.Int64,
        "n_samples": pl.Int64,  # judged: labelled pictures that could be read
        "accuracy": pl.Float64,
        "ece": pl.Float64,
        "ece_low": pl.Float64,  # of the error without its upward bias: may exclude `ece`
        "ece_high": pl.Float64,
        "max_calibration_error": pl.Float64,
        "debiased_ece": pl.Float64,  # an L2 error
        "smooth_ece": pl.Float64,
        "classwise_ece": pl.Float64,  # mean over classes, bins of equal width
        "brier": pl.Float64,
        "nll": pl.Float64,
        "temperature": pl.Float64,
        "at_bound": pl.Boolean,  # NLL falls on beyond the temperature
        "n_scaled": pl.Int64,  # samples of the four columns that follow: none it was fitted on
        "ece_before": pl.Float64,  # at temperature 1
        "ece_scaled": pl.Float64,
        "nll_before": pl.Float64,
        "nll_scaled": pl.Float64,
        "n_left_out": pl.Int64,  # failed pictures, and those without a label in the space
        "convention": pl.String,
        "note": pl.String,
    }
)

#: Bins of confidence: what a reliability diagram shows, at temperature 1 and scaled.
RELIABILITY = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "head": pl.String,
        "space": pl.String,
        "binning": pl.String,
        "n_bins": pl.Int64,
        "scaled": pl.Boolean,  # by `temperature`, over samples that it was not fitted on
        "temperature": pl.Float64,  # 1 before scaling
        "bin": pl.Int64,  # from 0, lowest confidence first
        "low": pl.Float64,  # probability: edges (low, high], or the extremes in an equal-mass bin
        "high": pl.Float64,
        "n_samples": pl.Int64,
        "confidence": pl.Float64,  # mean; null in an empty bin
        "accuracy": pl.Float64,
        "accuracy_low": pl.Float64,  # 95 % Clopper-Pearson
        "accuracy_high": pl.Float64,
    }
)

#: Accuracy under a shift beside accuracy on the same classes of the in-distribution (ID) data set.
SHIFT = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,  # the shifted one
        "head": pl.String,
        "space": pl.String,
        "group": pl.String,  # of the model; null where it is not known
        "n_samples": pl.Int64,
        "accuracy": pl.Float64,
        "accuracy_low": pl.Float64,
        "accuracy_high": pl.Float64,
        "id_dataset": pl.String,
        "n_id": pl.Int64,  # its samples of the same classes
        "id_accuracy": pl.Float64,  # of these, among these classes
        "id_accuracy_low": pl.Float64,
        "id_accuracy_high": pl.Float64,
        "drop": pl.Float64,  # id_accuracy less accuracy
        "drop_low": pl.Float64,  # Newcombe's, of independent proportions
        "drop_high": pl.Float64,
        "expected_accuracy": pl.Float64,  # the baselines' line at id_accuracy
        "effective_robustness": pl.Float64,  # accuracy less the expected one
        "effective_robustness_low": pl.Float64,  # samples of both and baselines drawn anew
        "effective_robustness_high": pl.Float64,
        "baselines": pl.String,  # whose line: a group or glob, and from where
        "n_baselines": pl.Int64,
        "line_slope": pl.Float64,  # on the axis that `convention` names
        "line_intercept": pl.Float64,
        "n_left_out": pl.Int64,  # failed pictures, and those without a label in the space
        "convention": pl.String,
        "note": pl.String,  # why something is null
    }
)
