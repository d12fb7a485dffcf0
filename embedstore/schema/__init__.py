"""Every stored array and every column of every table, named once, with shape, type and unit.

Dimensions: N samples, M texts, C classes, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import polars as pl

#: Version of the store's layout; a store of a newer one is refused.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ArraySchema:
    """A stored array: rows along the first dimension, fill value NaN, never compressed."""

    name: str
    dimensions: tuple[str, ...]  # names, rows first
    dtype: str  # NumPy's name of the element type
    unit: str


EMBEDDINGS = ArraySchema("embeddings", ("sample", "embedding"), "float16", "not normalised")
TEXT_EMBEDDINGS = ArraySchema("embeddings", ("text", "embedding"), "float32", "not normalised")
LOGITS = ArraySchema("logits", ("sample", "class"), "float16", "nats, less the row's maximum")
MAXIMUM = ArraySchema("maximum", ("sample",), "float32", "nats")
PATCHES = ArraySchema(
    "patches", ("sample", "row", "column", "feature"), "float16", "not normalised"
)

#: One row a sample, row i of every array of the data set. `label` indexes the data set's classes.
SAMPLES = MappingProxyType(
    {
        "sample_id": pl.String,  # relative path without its extension
        "path": pl.String,  # relative path
        "label": pl.Int32,  # index into the data set's classes; null where there is none
        "n_bytes": pl.Int64,  # of the picture's file
        # First 128 bits of the SHA-256 of the picture's bytes, hexadecimal; of one corrupted as it
        # is read, of what it is made of: the clean bytes, its depth map's, the corruption.
        "digest": pl.String,
    }
)

#: One row a text, row i of the text embeddings.
TEXTS = MappingProxyType(
    {
        "text": pl.String,
        "class_index": pl.Int32,  # of a prompt; null for a caption
        "template_index": pl.Int32,  # of a prompt, or its place among the texts of its class
        "sample_index": pl.Int32,  # row of the data set that a caption belongs to
    }
)

#: Pictures that could not be used; NaN in every array, null in outcomes.
FAILURES = MappingProxyType({"row": pl.Int64, "stage": pl.String, "reason": pl.String})

#: What one head, in one label space, says of one sample. Units: nats for `max_logit`, `energy`,
#: `entropy` and `nll`; probability for `confidence` and `margin`; squared probability for `brier`;
#: a count from 0 for `label_rank`.
OUTCOMES = MappingProxyType(
    {
        "prediction": pl.UInt16,
        "correct": pl.Boolean,
        "label_rank": pl.UInt16,
        "confidence": pl.Float32,
        "max_logit": pl.Float32,
        "energy": pl.Float32,
        "entropy": pl.Float32,
        "margin": pl.Float32,
        "nll": pl.Float32,
        "brier": pl.Float32,
    }
)

#: What a language model answered, one row a sample and order of the options. Columns that an
#: import's file lacks are null.
ANSWERS: MappingProxyType[str, Any] = MappingProxyType(
    {
        "sample_index": pl.Int64,  # row of the data set
        "order": pl.Int64,  # in which order the options were put, from 0
        "question": pl.String,
        "options": pl.List(pl.String),  # in the order asked
        "option_classes": pl.List(pl.UInt16),  # of each option: index into the data set's classes
        "scores": pl.List(pl.Float32),  # of each option: log-likelihood of its tokens, nats
        "scores_per_token": pl.List(pl.Float32),  # the same over their count
        "prediction": pl.UInt16,  # index into the data set's classes; null: no class, or several
        "answer": pl.String,  # as parsed, such as a letter
        "text": pl.String,  # raw
    }
)

#: What names a run's outcomes, beside every outcome.
RUN = ("model", "dataset", "head", "space")

#: The six factors of design, facts of a model's record; null where they are not known.
FACTORS = MappingProxyType(
    {
        "architecture": pl.String,  # its family: RN, ConvNeXt, ViT, EVA, ...
        "n_parameters": pl.Int64,
        "patch": pl.Int32,  # side, in pixels; null where a picture is not cut into patches
        "resolution": pl.Int32,  # side of the picture that the model is given, in pixels
        "training_distribution": pl.String,  # of pre-training: WIT, LAION-2B, ImageNet-1k, ...
        "training_samples": pl.Int64,  # distinct ones
        "samples_seen": pl.Int64,  # with repetitions
        "fine_tuning": pl.String,  # none, in1k, in12k+in1k, contrastive, parameter-efficient, ...
        "loss": pl.String,  # of pre-training: softmax, sigmoid, with captioning, masked, ...
        "prompts": pl.String,  # prompt set that zero-shot heads are made of by default, or none
    }
)

#: Columns that stand beside each other in a table of outcomes: annotations have other names.
TAKEN = frozenset({*SAMPLES, *RUN, *FACTORS, *OUTCOMES})
