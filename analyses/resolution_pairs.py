"""Pairs of models that differ in the resolution of their pictures alone, and what that does.

For the finding that fine-tuning at a higher resolution raises accuracy on ImageNet, and lowers
shape bias and accuracy on Stylized-ImageNet. It knows of the models what their records say: the
factors of design; numbers of parameters may differ a little, since position embeddings grow with
the resolution. Shape biases of different protocols are never paired.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import polars as pl

from embedstore import schema
from embedstore.analysis import analysis, run
from embedstore.labels import ALL
from embedstore.schema.runs import RESOLUTION_PAIRS
from embedstore.store import Store

#: What the models of a pair have in common: the same, or not known of either.
_EQUAL = [name for name in schema.FACTORS if name not in ("resolution", "n_parameters")]


@analysis
def resolution_pairs(
    store: Store,
    *,
    models: str = "*",
    cue_conflict: str = "*",
    imagenet: str = "imagenet,imagenet-val",
    stylized: str = "stylized-imagenet",
    tolerance: float = 0.01,
) -> pl.DataFrame:
    """Shape bias and accuracy of models that differ in resolution alone, one row a pair.

    Parameters
    ----------
    store
        Where the outcomes are.
    models
        Glob over names.
    cue_conflict
        Glob over data sets.
    imagenet, stylized
        Data sets of each accuracy, names or globs parted by commas. It is that on the first by name
        that both models share, under the same head and label space, `all` before others.
    tolerance
        Share by which the numbers of parameters may differ.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.runs.RESOLUTION_PAIRS`; accuracies are top-1, null where there is none.
    """
    bias = run("shape-bias", store, models=models, datasets=cue_conflict)
    bias = bias.filter(pl.col("shape_bias").is_not_null(), pl.col("protocol").is_not_null())
    # a head over the 16 classes themselves says the same in each label space
    bias = bias.unique(["model", "protocol", "dataset", "head"], keep="first", maintain_order=True)
    names = ("model", "protocol", "dataset", "head", "space", "shape_bias")
    measured = bias.select(names).join(_described(store, bias), "model")
    same = [*_EQUAL, "protocol", "dataset", "head", "space"]
    fewer = pl.min_horizontal("n_parameters", "n_parameters_high")
    more = pl.max_horizontal("n_parameters", "n_parameters_high")
    pairs = measured.join(measured, same, suffix="_high", nulls_equal=True).filter(
        pl.col("resolution") < pl.col("resolution_high"),
        pl.col("architecture").is_not_null(),  # of which nothing is known, nothing is the same
        (more - fewer) <= tolerance * more,
    )
    accuracy = run("accuracy", store, models=models)
    for name, globs in (("imagenet_accuracy", imagenet), ("stylized_accuracy", stylized)):
        pairs = _with_accuracy(pairs, accuracy, globs, name)
    return pairs.select(pl.col(name).cast(dtype) for name, dtype in RESOLUTION_PAIRS.items()).sort(
        "architecture", "model", "model_high", "protocol"
    )


def _described(store: Store, bias: pl.DataFrame) -> pl.DataFrame:
    """Return the factors of design of each model: one row a model."""
    models = bias["model"].unique().sort().to_list()
    rows = [{"model": model, **store.model(model).factors} for model in models]
    columns = {"model": pl.String, **schema.FACTORS}
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, schema=columns)


def _with_accuracy(
    pairs: pl.DataFrame, accuracy: pl.DataFrame, globs: str, name: str
) -> pl.DataFrame:
    """Add the accuracies of both models of a pair where they are comparable."""
    wanted = [glob.strip() for glob in globs.split(",")]
    there = accuracy["dataset"].unique().to_list()
    chosen = [d for d in there if any(fnmatchcase(d, glob) for glob in wanted)]
    run_of = ("dataset", "head", "space")
    rows = accuracy.filter(pl.col("dataset").is_in(chosen), pl.col("top1_accuracy").is_not_null())
    rows = rows.select("model", *run_of, pl.col("top1_accuracy").alias(name))
    both = (
        rows.join(rows.rename({"model": "model_high", name: f"{name}_high"}), list(run_of))
        .sort("dataset", pl.col("space") != ALL, "space", "head")
        .unique(["model", "model_high"], keep="first", maintain_order=True)
        .drop(run_of)
    )
    return pairs.join(both, ["model", "model_high"], how="left")
