"""Columns of the table that puts a language model beside its image encoder."""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: A language model and its encoder on the same samples and, where the answers hold options, among
#: the same options: a row a level. Bounds are of 95 % intervals. What compares orders
#: (`right_in_both_orders`, `consistency`, `position_*`) is of samples that were answered in all of
#: them. Numbers are null where they cannot be computed, and `note` says why.
INTERACTION = MappingProxyType(
    {
        "model": pl.String,  # the language model
        "encoder": pl.String,
        "head": pl.String,  # of the encoder
        "dataset": pl.String,
        "protocol": pl.String,  # of the answers
        "encoder_protocol": pl.String,  # of the encoder's outcomes; null where that is not known
        "score": pl.String,  # what decides: per-token, sum or text
        "by": pl.String,  # all, class or hardness
        "level": pl.String,  # a class; hardest or easiest; null over all samples
        "n_samples": pl.Int64,  # that both judged
        "n_classes": pl.Int64,  # of these; by hardness those that either half chooses
        "n_orders": pl.Int64,  # in which samples were answered, at most
        "n_fewer_orders": pl.Int64,  # samples that were answered in fewer
        "chance": pl.Float64,  # accuracy of a guess among the options
        "model_accuracy": pl.Float64,  # mean over orders
        "model_accuracy_low": pl.Float64,  # Clopper-Pearson, of samples: too wide with two orders
        "model_accuracy_high": pl.Float64,
        "right_in_both_orders": pl.Float64,  # share of samples; null with one order
        "encoder_accuracy": pl.Float64,  # on the same options
        "encoder_accuracy_low": pl.Float64,  # Clopper-Pearson
        "encoder_accuracy_high": pl.Float64,
        "many_way_accuracy": pl.Float64,  # the encoder's, among all classes
        "decided_accuracy": pl.Float64,  # the language model's, one decision over all orders
        "n_ties": pl.Int64,  # samples whose answers come to several classes alike
        "difference": pl.Float64,  # decided_accuracy less encoder_accuracy
        "difference_low": pl.Float64,  # Newcombe's method 10
        "difference_high": pl.Float64,
        "both_right": pl.Int64,
        "model_only": pl.Int64,  # samples that the language model alone decides rightly
        "encoder_only": pl.Int64,
        "neither": pl.Int64,
        "mcnemar_p": pl.Float64,  # exact, two-sided
        "mcnemar_q": pl.Float64,  # Benjamini-Hochberg over the rows of the table
        "position_bias": pl.Float64,  # share of answers that take the option put first
        "position_front": pl.Int64,  # samples whose two answers differ, and lean to the front
        "position_back": pl.Int64,
        "position_p": pl.Float64,  # exact, of the two counts; null if no two places can be compared
        "position_q": pl.Float64,  # Benjamini-Hochberg over the rows of the table
        "position_biased": pl.Boolean,  # position_q below .05
        "consistency": pl.Float64,  # samples of one class in all orders; null with one order
        "n_unparsed": pl.Int64,  # answers that name no option, or several: wrong by their text
        "n_conflict": pl.Int64,  # whose shape and texture differ and are options; null without
        "model_shape_decisions": pl.Int64,
        "model_texture_decisions": pl.Int64,
        "model_shape_bias": pl.Float64,  # shape over shape and texture; null where there is neither
        "encoder_shape_decisions": pl.Int64,
        "encoder_texture_decisions": pl.Int64,
        "encoder_shape_bias": pl.Float64,
        "n_left_out": pl.Int64,  # samples that `where` selects and not both judged
        "where": pl.String,  # condition that samples meet; null for all
        "pixels": pl.String,  # whose preprocessing the encoder had; null: its own
        "convention": pl.String,
        "note": pl.String,  # what makes the two less comparable, or why numbers are null
    }
)
