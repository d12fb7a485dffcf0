"""Columns of the tables about near pictures: a row a sample that has something to say.

Cosines are of image embeddings brought to unit length.
"""

from __future__ import annotations

from types import MappingProxyType

import polars as pl

#: Samples whose nearest picture of a reference is all but the same.
DUPLICATES = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "sample_id": pl.String,
        "reference": pl.String,  # data set
        "reference_id": pl.String,  # its nearest picture
        "cosine": pl.Float64,
        "margin": pl.Float64,  # cosine less that of the next picture; null if the 10 are copies
        "same_digest": pl.Boolean,  # the same bytes; null where either's are not known
        "same_label": pl.Boolean,  # the same class id; null where either has no label
        "class_name": pl.String,
        "reference_class_name": pl.String,
        "n_samples": pl.Int64,  # of the data set, that were looked for
        "n_left_out": pl.Int64,  # its failed pictures
        "threshold": pl.Float64,
        "search": pl.String,  # exact, or the kind of index and its recall
    }
)

#: Samples whose label their neighbours contradict.
SUSPECTS = MappingProxyType(
    {
        "model": pl.String,
        "dataset": pl.String,
        "sample_id": pl.String,
        "class_name": pl.String,  # of its label
        "other_class_name": pl.String,  # of most neighbours with another label
        "margin": pl.Float64,  # share less other_share
        "share": pl.Float64,  # of its k neighbours, those with its label
        "other_share": pl.Float64,
        "nearest_id": pl.String,  # the nearest neighbour of the other class
        "nearest_cosine": pl.Float64,
        "reference": pl.String,  # data set of the neighbours
        "k": pl.Int64,
        "n_samples": pl.Int64,  # of the data set, that were judged
        "n_left_out": pl.Int64,  # failed pictures, and those whose class the reference lacks
        "search": pl.String,  # exact, or the kind of index and its recall
    }
)
