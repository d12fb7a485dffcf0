"""Columns of tables of out-of-distribution (OOD) detection."""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: Hyper-parameters of our scores; null where a score has none of the name. Those of a user's own
#: score follow the other columns.
HYPERPARAMETERS = MappingProxyType(
    {
        "temperature": pl.Float64,
        "scaled": pl.Boolean,  # whether cosines are multiplied by the model's logit scale
        "gamma": pl.Float64,  # GEN's exponent
        "top_m": pl.Int64,  # GEN's most likely classes
        "n_negatives": pl.Int64,  # NegLabel's words at most
        "quantile": pl.Float64,  # of a word's cosines with the classes, by which it is chosen
        "n_groups": pl.Int64,  # of words
        "seed": pl.Int64,  # of these groups
        "k": pl.Int64,  # neighbours
        "alpha": pl.Float64,  # share of the reference in NNGuide's bank
        "normalize": pl.Boolean,  # whether embeddings are brought to unit length
        "shrinkage": pl.Float64,  # of the covariance towards the identity
        "dim": pl.Int64,  # of the principal space
        "percentile": pl.Float64,  # of activations or contributions, 0 to 100
        "variant": pl.String,  # ASH's
    }
)

#: One row a model, head, OOD data set and score: how well the score tells ID from OOD samples.
#: Higher scores are more ID. Bounds are of 95 % intervals; null where there is no closed form.
#: Numbers are null where the score is undefined, and `note` says why.
OOD = MappingProxyType(
    {
        "model": pl.String,
        "head": pl.String,  # null where the score needs none
        "id": pl.String,  # data set
        "ood": pl.String,  # data set
        "score": pl.String,
        "auroc": pl.Float64,  # ties count one half
        "auroc_low": pl.Float64,  # DeLong
        "auroc_high": pl.Float64,
        "aupr_in": pl.Float64,  # ID positive
        "aupr_out": pl.Float64,  # OOD positive
        "fpr95": pl.Float64,  # share of OOD samples accepted where 95 % of ID ones are
        "fpr95_low": pl.Float64,
        "fpr95_high": pl.Float64,
        "aupr_in_low": pl.Float64,
        "aupr_in_high": pl.Float64,
        "aupr_out_low": pl.Float64,
        "aupr_out_high": pl.Float64,
        "class_mean_auroc": pl.Float64,  # mean over the OOD data set's classes, NINCO's way
        "class_mean_fpr95": pl.Float64,
        "n_id": pl.Int64,  # scored
        "n_ood": pl.Int64,
        "n_left_out": pl.Int64,  # failed, or a head or the score was fitted to them
        "reference": pl.String,  # what the score was fitted to; null where nothing was
        **HYPERPARAMETERS,
        "convention": pl.String,
        "note": pl.String,
    }
)
