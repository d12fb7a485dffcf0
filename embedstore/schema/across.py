"""Columns of the analyses' tables that set models against each other, or against published ones.

Bounds are of 95 % intervals unless a comment says otherwise.
"""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: Two models, or two heads of one, on the same samples of a data set.
COMPARE = MappingProxyType(
    {
        "first": pl.String,  # model
        "first_head": pl.String,
        "second": pl.String,
        "second_head": pl.String,
        "dataset": pl.String,
        "space": pl.String,  # of a fitted head too, without the suffix of its held-out samples
        "n_samples": pl.Int64,  # judged by both
        "first_accuracy": pl.Float64,
        "second_accuracy": pl.Float64,
        "difference": pl.Float64,  # first less second
        "difference_low": pl.Float64,  # paired percentile bootstrap
        "difference_high": pl.Float64,
        "both_right": pl.Int64,
        "first_only": pl.Int64,  # samples that the first alone judges rightly
        "second_only": pl.Int64,
        "neither": pl.Int64,
        "mcnemar_p": pl.Float64,  # exact, two-sided
        "mcnemar_q": pl.Float64,  # Benjamini-Hochberg over the rows of the table
        "agreement": pl.Float64,  # share of samples of the same predicted class
        "error_consistency": pl.Float64,  # Cohen's kappa of being right; null where undefined
        "n_left_out": pl.Int64,  # samples that `where` selects and not both judged
        "rows": pl.String,  # same or common
        "where": pl.String,  # condition that samples meet; null for all
        "convention": pl.String,
        "note": pl.String,  # what makes the two less comparable
    }
)

#: Where a first model loses most against a second: a row a slice of the samples, worst first.
SLICES = MappingProxyType(
    {
        "rank": pl.Int64,  # from 1, by `difference_high`
        "first": pl.String,
        "first_head": pl.String,
        "second": pl.String,
        "second_head": pl.String,
        "dataset": pl.String,
        "space": pl.String,
        "kind": pl.String,  # factor, annotation, class or confidence
        "slice": pl.String,  # a column of true and false, `column=value`, a class, a bin
        "n_samples": pl.Int64,  # judged by both
        "first_accuracy": pl.Float64,
        "second_accuracy": pl.Float64,
        "difference": pl.Float64,  # first less second
        "difference_low": pl.Float64,  # Newcombe's method 10
        "difference_high": pl.Float64,
        "first_only": pl.Int64,
        "second_only": pl.Int64,
        "mcnemar_p": pl.Float64,  # exact, two-sided
        "mcnemar_q": pl.Float64,  # Benjamini-Hochberg over the rows of the table
        "n_left_out": pl.Int64,  # of the slice's samples, those that not both judged
        "n_small": pl.Int64,  # slices of this data set and space with too few samples for a row
        "rows": pl.String,
        "where": pl.String,
        "convention": pl.String,
        "note": pl.String,
    }
)

#: A robust line through models on two axes. Bounds resample models.
TREND = MappingProxyType(
    {
        "x": pl.String,  # metric, or a column of a file
        "y": pl.String,
        "x_axis": pl.String,  # probit, logit or linear
        "y_axis": pl.String,
        "source": pl.String,  # `store`, a source of published results, or files
        "group": pl.String,  # of the models; `all` for all of them
        "n_models": pl.Int64,  # that have both
        "slope": pl.Float64,  # on the axes
        "slope_low": pl.Float64,
        "slope_high": pl.Float64,
        "intercept": pl.Float64,
        "r2": pl.Float64,  # squared Pearson correlation on the axes
        "r2_low": pl.Float64,
        "r2_high": pl.Float64,
        "robust_r2": pl.Float64,  # 1 - SSE / SST of the robust line
        "spearman": pl.Float64,
        "spearman_low": pl.Float64,
        "spearman_high": pl.Float64,
        "scale": pl.Float64,  # of residuals on the y axis, as a standard deviation
        "n_left_out": pl.Int64,  # models that lack either
        "n_clipped": pl.Int64,  # models that were brought to half a sample from 0 or 1
        "convention": pl.String,
        "note": pl.String,  # why there is no line, or no interval
    }
)

#: How far models lie from a line. Values and bounds are on the natural scale of y.
RESIDUALS = MappingProxyType(
    {
        "model": pl.String,
        "source": pl.String,  # of the model
        "group": pl.String,
        "x": pl.Float64,
        "y": pl.Float64,
        "expected": pl.Float64,  # the line at x
        "residual": pl.Float64,  # y less expected
        "expected_low": pl.Float64,  # where a new model of that x would lie
        "expected_high": pl.Float64,
        "inside": pl.Boolean,  # y is between the two
        "quantile": pl.Float64,  # share of the line's models that lie lower against it
        "fit": pl.String,  # whose line: a group, or `all`
        "fit_source": pl.String,
        "n_fit": pl.Int64,  # models that the line goes through
        "x_metric": pl.String,
        "y_metric": pl.String,
        "convention": pl.String,
    }
)

#: Claims of the study, a row a claim and source of its numbers.
CLAIMS = MappingProxyType(
    {
        "claim": pl.String,  # its name
        "section": pl.String,
        "statement": pl.String,
        "verdict": pl.String,  # holds, does not hold, not enough models
        "evidence": pl.String,  # one sentence with the numbers
        "statistic": pl.String,
        "value": pl.Float64,  # of the statistic; null where too few models have it
        "low": pl.Float64,  # null where too few models carry an interval
        "high": pl.Float64,
        "p_value": pl.Float64,  # two-sided; null where no test is made
        "q_value": pl.Float64,  # Benjamini-Hochberg over the rows of the table
        "n_models": pl.Int64,  # of all groups
        "source": pl.String,  # `store`, or `published` and its sources
        "recipe": pl.String,  # models, metrics, axes, test, and what decides
        "note": pl.String,  # why it is no evidence, or could not be tested
    }
)

#: What differs between two stores, a row a finding: numbers first, largest difference first.
DIFF = MappingProxyType(
    {
        "kind": pl.String,  # number; an ingredient, such as dataset; only in A, only in B
        "where": pl.String,  # names of model, data set, head and label space
        "what": pl.String,  # column or field
        "a": pl.String,  # of the first store, as text; null where there is none
        "b": pl.String,
        "difference": pl.Float64,  # b less a, or a count of samples; null of what is no number
        "because": pl.String,  # of a number what explains it, else what differs
    }
)

#: How much each factor of design explains of a metric over models.
DESIGN = MappingProxyType(
    {
        "metric": pl.String,
        "axis": pl.String,
        "source": pl.String,
        "factor": pl.String,  # one of the six
        "n_models": pl.Int64,  # with the value and all factors known
        "n_levels": pl.Int64,  # different ones among them; of several facts, combinations
        "r2": pl.Float64,  # of all six, weighted by the robust fit
        "drop_r2": pl.Float64,  # what R² loses without the factor; null where it is constant
        "drop_r2_low": pl.Float64,  # percentiles over resamples of models, biased upwards as R² is
        "drop_r2_high": pl.Float64,
        "p_value": pl.Float64,  # of the partial F test, weighted
        "q_value": pl.Float64,  # Benjamini-Hochberg over the rows
        "collinear_with": pl.String,  # factors that tell part of the same; null for none
        "n_pairs": pl.Int64,  # models that are equal in the other five
        "pair_change": pl.Float64,  # their mean |difference|, on the natural scale
        "n_left_out": pl.Int64,  # models that lack the value or a factor
        "convention": pl.String,
        "note": pl.String,
    }
)

#: What each level of each factor makes of a metric, all else equal, and in matched pairs.
DESIGN_EFFECTS = MappingProxyType(
    {
        "metric": pl.String,
        "axis": pl.String,
        "source": pl.String,
        "factor": pl.String,
        "term": pl.String,  # `fact=level`, or `log10 fact`
        "reference": pl.String,  # the level it is compared with; null for a size
        "n_models": pl.Int64,  # of the level; of a size, all
        "effect": pl.Float64,  # on the axis; of a size, per factor 10
        "effect_low": pl.Float64,  # normal, by the robust fit's covariance
        "effect_high": pl.Float64,
        "p_value": pl.Float64,
        "q_value": pl.Float64,  # Benjamini-Hochberg over the rows
        "convention": pl.String,
        "note": pl.String,  # why there is no effect: other terms tell the same
    }
)

#: Models that are equal in five factors of design and differ in the sixth.
MATCHED_PAIRS = MappingProxyType(
    {
        "metric": pl.String,
        "factor": pl.String,  # in which they differ
        "first": pl.String,
        "first_head": pl.String,
        "first_level": pl.String,
        "first_value": pl.Float64,
        "second": pl.String,
        "second_head": pl.String,
        "second_level": pl.String,
        "second_value": pl.Float64,
        "difference": pl.Float64,  # second less first
        "n_pairs": pl.Int64,  # of the same two levels
        "mean_difference": pl.Float64,  # of these
        "mean_low": pl.Float64,  # percentile bootstrap over the pairs; null with fewer than two
        "mean_high": pl.Float64,
        "source": pl.String,
        "tolerance": pl.Float64,  # factor within which sizes count as equal
    }
)
