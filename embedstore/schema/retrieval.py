"""Columns of the table of retrieval between pictures and their captions.

Bounds are of 95 % intervals; pictures are drawn whole, with all their captions.
"""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: Recall at k and its companions, a row a model, data set, text set, direction and k.
RETRIEVAL = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "texts": pl.String,  # text set of the captions: one a language
        "direction": pl.String,  # image-to-text or text-to-image
        "k": pl.Int64,
        "recall": pl.Float64,  # share of queries with a positive among the first k
        "recall_low": pl.Float64,
        "recall_high": pl.Float64,
        "ties": pl.String,  # pessimistic or expected; index: in the order that it returned
        "n_queries": pl.Int64,  # pictures with captions, or captions
        "n_gallery": pl.Int64,  # captions, or pictures with or without captions
        "median_rank": pl.Float64,  # of the first positive, from 1; null beyond an index's answers
        "mrr": pl.Float64,  # mean of 1 / rank of the first positive; null through an index
        "mrr_low": pl.Float64,
        "mrr_high": pl.Float64,
        "map": pl.Float64,  # mAP@R: over as many ranks as there are positives; null likewise
        "map_low": pl.Float64,
        "map_high": pl.Float64,
        "n_left_out": pl.Int64,  # queries: see the analysis
        "convention": pl.String,
    }
)
