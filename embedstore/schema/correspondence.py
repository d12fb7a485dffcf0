"""Columns of the table of correspondence: whether patches find a point in another picture."""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: One row a model, data set, set of pairs, threshold, and bin or class of pairs; the row over all
#: pairs has neither. Bounds are of 95 % intervals that draw pairs.
CORRESPONDENCE = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "pairs": pl.String,  # set of them
        "layer": pl.Int64,  # of the model, from 0
        "threshold": pl.Float64,  # of the unit
        "unit": pl.String,  # m, px, box or image: see the analysis
        "bin": pl.String,  # rotation between the cameras, degrees, half-open; null: all
        "group": pl.String,  # class of keypoint pairs; null: all
        "n_pairs": pl.Int64,  # that are compared
        "n_matches": pl.Int64,  # of these pairs
        "n_correct": pl.Int64,  # within the threshold
        "recall": pl.Float64,  # n_correct / n_matches; over all classes the mean of theirs: PCK
        "recall_low": pl.Float64,  # null of fewer than two pairs
        "recall_high": pl.Float64,
        "chance": pl.Float64,  # recall expected of targets drawn among the second picture's points
        "n_excluded": pl.Int64,  # without overlap or points, failed, or left out at import
        "n_unseen": pl.Int64,  # keypoints that are absent or that the model does not see
        "convention": pl.String,
    }
)
