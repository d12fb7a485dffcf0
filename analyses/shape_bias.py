"""Shape bias: whether pictures of one class's shape and another's texture are taken for the shape.

Conventions (Geirhos et al., 2019): pictures whose shape and texture are the same class are left
out; of the rest, decisions for the shape and for the texture are counted, shape_bias = shape /
(shape + texture), shape_accuracy = shape / all judged, an answer that names no class among them.
From 1,000 classes, the mean probability of each of the 16 classes decides. Ties go to the first
class. Numbers of different protocols are never compared. Per class, the class is that of the shape.
Bounds are 95 % Clopper-Pearson.

Dimensions: N samples, S classes of the space.
"""

from __future__ import annotations

import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import EmbedStoreError
from embedstore.heads.protocols import Protocol, protocol_of
from embedstore.schema.runs import SHAPE_BIAS
from embedstore.stats.intervals import with_clopper_pearson
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun, checked_table

_NO_CUES = (
    "no data set here says the shape and the texture of its pictures; encode some as "
    "NAME=cue-conflict:FOLDER, or bring in decisions after: embedstore import samples --layout "
    "cue-conflict"
)


@analysis
def shape_bias(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    heads: str = "*",
    space: str | None = None,
    protocol: Protocol | None = None,
    per_class: bool = False,
) -> pl.DataFrame:
    """Decisions for shape and for texture on cue-conflict pictures, one row a run, with bounds.

    Parameters
    ----------
    store
        Where the outcomes are.
    models, datasets, heads
        Globs over names.
    space
        A label space; all, a row each, where it is None.
    protocol
        How classes were asked for; all, a row each, where it is None.
    per_class
        A row a class of the shape too, named in `class_name`.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.runs.SHAPE_BIAS`, one row a model, data set, head and label space.

    Raises
    ------
    EmbedStoreError
        If no data set says which shape and texture its pictures have.
    """
    runs = store.outcome_runs(models, datasets, heads, space)
    cues = {name: _cues(store.samples(name)) for name in {run.dataset for run in runs}}
    if runs and all(frame is None for frame in cues.values()):
        raise EmbedStoreError(_NO_CUES)
    tables = [pl.DataFrame(schema=SHAPE_BIAS)]
    for run in runs:
        frame = cues[run.dataset]
        decisions = None if frame is None else _decisions(store, run, frame)
        if decisions is None:
            continue
        asked = protocol_of(store, run)
        if protocol in (None, asked):
            tables.append(_counted(decisions, run, asked, per_class=per_class))
    return pl.concat(tables).sort(
        "dataset", "protocol", "model", "head", "space", maintain_order=True
    )


def _cues(samples: pl.DataFrame) -> pl.DataFrame | None:
    """Return `shape` and `texture` of each sample: N rows; None where they are not known."""
    known = all(samples.schema.get(cue) == pl.String for cue in ("shape", "texture"))
    return samples.select("shape", "texture") if known else None


def _decisions(store: Store, run: OutcomeRun, cues: pl.DataFrame) -> pl.DataFrame | None:
    """Return what was decided of each picture with conflict; None where other classes compete."""
    names = pl.Series(store.space(run)["class_ids"], dtype=pl.String)
    if not set(cues["shape"].drop_nulls()) | set(cues["texture"].drop_nulls()) <= set(names):
        return None
    said = pl.read_parquet(
        checked_table(store.files, run), columns=["prediction", "correct", "margin"]
    )
    return pl.DataFrame(
        {
            **cues.to_dict(),
            "decision": names.gather(said["prediction"]),
            # who answers and names no class is wrong; who was not asked is not known
            "judged": said["prediction"].is_not_null() | said["correct"].is_not_null(),
            "margin": said["margin"],
        }
    ).filter(pl.col("shape") != pl.col("texture"))


def _counted(
    decisions: pl.DataFrame, run: OutcomeRun, protocol: str | None, *, per_class: bool
) -> pl.DataFrame:
    shape, texture = pl.col("shape_decisions"), pl.col("texture_decisions")
    judged, decided = pl.col("judged"), pl.col("decision")
    counts = (
        judged.sum().alias("n_conflict"),
        (decided == pl.col("shape")).sum().alias("shape_decisions"),
        (decided == pl.col("texture")).sum().alias("texture_decisions"),
        (pl.when(pl.col("margin").count() > 0).then((pl.col("margin") == 0).sum())).alias("n_ties"),
        (~judged).sum().alias("n_left_out"),
    )
    frame = decisions.select(pl.lit(None, pl.String).alias("class_name"), *counts)
    if per_class:
        of_class = decisions.group_by(pl.col("shape").alias("class_name")).agg(*counts)
        frame = pl.concat([frame, of_class.sort("class_name")])
    n_decided = pl.col("n_decided")
    return (
        frame.with_columns(
            n_decided=shape + texture,
            **{name: pl.lit(getattr(run, name)) for name in ("model", "dataset", "head", "space")},
            protocol=pl.lit(protocol, pl.String),
        )
        .with_columns(
            shape_bias=pl.when(n_decided > 0).then(shape / n_decided),
            shape_accuracy=pl.when(pl.col("n_conflict") > 0).then(shape / pl.col("n_conflict")),
        )
        .pipe(
            with_clopper_pearson,
            "shape_decisions",
            "n_decided",
            low="shape_bias_low",
            high="shape_bias_high",
        )
        .pipe(
            with_clopper_pearson,
            "shape_decisions",
            "n_conflict",
            low="shape_accuracy_low",
            high="shape_accuracy_high",
        )
        .select(pl.col(name).cast(dtype) for name, dtype in SHAPE_BIAS.items())
    )
