"""Cue-conflict pictures by name: `airplane1-bicycle2` has an airplane's shape, a bicycle's texture.

Geirhos et al. (2019, arXiv 1811.12231): 1,280 pictures over 16 classes, in a folder a shape class.

Dimensions: R rows.
"""

from __future__ import annotations

import polars as pl

from embedstore.errors import DatasetError

#: Columns that name the picture, of model-vs-human and of vlm_shapebias.
USUAL = ("imagename", "image", "file_name", "sample_id")
_NAME = r"([a-z]+)\d+-([a-z]+)\d+(?:\.[A-Za-z]+)?$"
#: model-vs-human puts trial, experiment, subject, condition, category and a number before it.
_TRIAL = r"^\d+_[^_]+_[^_]+_[^_]+_[^_]+_\d+_"


def picture_names(names: pl.Series) -> pl.Series:
    """Take model-vs-human's trial off each name, where there is one: (R,) -> (R,)."""
    return names.str.replace(_TRIAL, "")


def cue_conflict(names: pl.Series, where: str) -> pl.DataFrame:
    """Return `sample_id`, `path`, `shape` and `texture` of each picture, in its folder's order.

    Raises
    ------
    DatasetError
        If a name is not of the form SHAPEn-TEXTUREm.
    """
    stems = picture_names(names).str.split("/").list.last()
    cues = stems.str.extract_groups(_NAME).struct.unnest()
    frame = pl.DataFrame({"name": stems, "shape": cues["1"], "texture": cues["2"]})
    wrong = frame["texture"].is_null().arg_true()
    if len(wrong):
        raise DatasetError(
            f"{names[wrong[0]]!r} of {where} is no name of a cue-conflict picture, which are like "
            "airplane1-bicycle2; name another column with --id, or leave out --layout"
        )
    stem = pl.col("name").str.replace(r"\.[A-Za-z]+$", "")
    return frame.select(
        sample_id=pl.col("shape") + "/" + stem,
        path=pl.col("shape") + "/" + stem + ".png",
        shape="shape",
        texture="texture",
    ).sort("shape", "path")
