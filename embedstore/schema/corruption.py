"""Columns of tables of accuracy and error under corruption."""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: One row a model, head, label space and folder of corrupted pictures: what errors are made of.
#: Severity 0 is the clean pictures, of no corruption.
UNDER_CORRUPTION = MappingProxyType(
    {
        "model": pl.String,
        "head": pl.String,  # null in a published table
        "space": pl.String,
        "benchmark": pl.String,
        "corruption": pl.String,  # null of the clean pictures
        "severity": pl.Int64,  # from 1; 0 of the clean pictures
        "dataset": pl.String,  # null in a published table
        "n_samples": pl.Int64,  # judged pictures; null where that is not known
        "n_correct": pl.Int64,
        "n_left_out": pl.Int64,  # without a label in the space, or not judged in every folder
        "accuracy": pl.Float64,  # null where no picture is judged
    }
)

#: One row a model, head, label space and benchmark, or kind, corruption or severity of it. Means
#: over several are of corruptions, each of them a mean over its severities. Numbers are null where
#: something of what they sum over is missing, and `note` says what.
CORRUPTIONS = MappingProxyType(
    {
        "model": pl.String,
        "head": pl.String,
        "space": pl.String,
        "benchmark": pl.String,
        "kind": pl.String,  # of corruption; null over several, or where the kind is not known
        "corruption": pl.String,  # null over several
        "severity": pl.Int64,  # null over several
        "dataset": pl.String,  # null over several, or in a published table
        "n_corruptions": pl.Int64,  # that were measured
        "n_samples": pl.Int64,  # judged pictures, each as often as it comes
        "accuracy": pl.Float64,  # mean
        "accuracy_low": pl.Float64,  # of one corruption and severity: 95 % Clopper-Pearson
        "accuracy_high": pl.Float64,
        "clean_accuracy": pl.Float64,  # on the same pictures without corruption
        "corruption_error": pl.Float64,  # of one corruption, fraction: error over the normaliser's
        "relative_corruption_error": pl.Float64,  # the same with clean errors off both
        "mean_corruption_error": pl.Float64,  # of several, per cent: 100 times their mean
        "relative_mean_corruption_error": pl.Float64,  # per cent
        "clean_dataset": pl.String,
        "normaliser": pl.String,  # whose errors they are divided by; null where there are none
        "normaliser_source": pl.String,  # where these are from
        "n_left_out": pl.Int64,  # without a label in the space, or not judged in every folder
        "convention": pl.String,
        "note": pl.String,  # what is missing, or left out
    }
)
