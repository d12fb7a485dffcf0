"""Columns of the table of a prompt sweep. Bounds are of 95 % intervals."""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: Prompt ensembles of a model over a data set, a row an ensemble, half and OOD data set.
PROMPT_SWEEP = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "part": pl.String,  # set, template, prefix or greedy; null of a set that was not judged
        "set": pl.String,  # `openai-80`, `openai-80[12]`, `openai-80[:12]`, `openai-80[12,0,7]`
        "classes": pl.String,  # class list: the names that stand in the texts
        "template": pl.String,  # the only one, or the one that came last
        "n_templates": pl.Int64,  # null where texts are of no template that all classes share
        "split": pl.String,  # all, or the half that templates were select-ed on, or held-out of it
        "n_samples": pl.Int64,  # labelled pictures that could be read
        "top1_accuracy": pl.Float64,
        "top1_low": pl.Float64,  # Clopper-Pearson
        "top1_high": pl.Float64,
        "nll": pl.Float64,  # mean, nats
        "ece": pl.Float64,
        "auroc": pl.Float64,  # of the samples against the OOD data set's; null where none is named
        "auroc_low": pl.Float64,  # DeLong
        "auroc_high": pl.Float64,
        "ood": pl.String,
        "n_ood": pl.Int64,
        "score": pl.String,  # mcm, msp, energy or max-logit
        "texts": pl.String,  # text set, as the store calls it
        "space": pl.String,  # label space
        "convention": pl.String,
        "note": pl.String,  # why the text set could not be judged, or has no AUROC
    }
)
