"""Accuracy under distribution shift, beside in-distribution (ID) accuracy on the same classes.

Conventions: ID accuracy is that of the same head among the shift's own classes, over the ID samples
of these (the 200 of ImageNet-A for ImageNet too). Effective robustness is accuracy less what the
robust line through the baselines alone expects at that ID accuracy (Taori et al., 2020; Miller et
al., 2021): Huber's T, c = 1.345, MAD scale, on probit axes clipped to half a sample. Bounds are
95 %: Clopper-Pearson of accuracies, Newcombe's of drops, of effective robustness percentiles of
2,000 draws of both accuracies and of the baselines.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from embedstore.across.baselines import Expectation, Hits, expectation
from embedstore.across.facts import stored_facts
from embedstore.across.metrics import matching
from embedstore.across.points import published_points
from embedstore.analysis import analysis, run
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.held_out import SUFFIX
from embedstore.in_distribution import AUTO, ID_NAMES, ambiguous, id_candidates, on_same_classes
from embedstore.labels import ALL
from embedstore.schema import RUN
from embedstore.schema.runs import SHIFT
from embedstore.stats.axes import Axis
from embedstore.stats.bootstrap import N_RESAMPLES
from embedstore.stats.intervals import clopper_pearson, newcombe
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun
from embedstore.zoo import GROUPS

#: What published results call the ID data set.
PUBLISHED_ID = "imagenet-val"
#: The head that a model brings.
OWN_HEAD = "own"
#: In place of a space's name: the data set's own classes.
_OWN = ""


@analysis
def shift(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    heads: str = "*",
    id_dataset: str = AUTO,
    baselines: str = "imagenet",
    published: str | None = None,
    axis: Axis = "probit",
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """Accuracy under shifts, drops from ID accuracy, effective robustness, one row a run.

    Parameters
    ----------
    store
        Where the outcomes are.
    models, datasets, heads
        Globs over names; of data sets, the shifted ones.
    id_dataset
        The in-distribution data set; ``auto``: the one named imagenet or imagenet-val, or the only
        one.
    baselines
        Models that the line goes through: a group of the zoo, or a glob over names.
    published
        A source of published results whose baselines are taken instead of the store's: timm.
    axis
        Of the line.
    n_resamples, seed
        Of the bounds of effective robustness.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.runs.SHIFT`, one row a model, shifted data set, head and label space;
        data sets without labels have none.

    Raises
    ------
    EmbedStoreError
        If several data sets could be the in-distribution one, or no other has labels; if there is
        no such source.

    Examples
    --------
    embedstore analyze shift clip.store --id-dataset imagenet-val --published timm
    """
    id_name = _id_dataset(store, id_dataset)
    rows = _measured(store, datasets, heads, id_name)
    convention = (
        f"ID accuracy on the same classes; robust line on {axis} axes; effective robustness: "
        f"{n_resamples:,} draws, seed {seed}"
    )
    found = []
    for (_, space), part in _by_space(rows).items():
        chosen = matching(part, {"model": models})
        if chosen.is_empty():
            continue
        expected, told = _expectation(
            part,
            _metrics(store, id_name, space, OutcomeRun(*part.select(*RUN).row(0))),
            baselines,
            published,
            axis,
            n_resamples,
            seed,
        )
        told |= {"id_dataset": id_name, "convention": convention}
        for row in chosen.iter_rows(named=True):
            beside = _beside(row, expected, seed)
            notes = [n for n in (beside.get("note"), told.get("note")) if n]
            found.append(row | beside | told | {"note": "; ".join(notes) or None})
    frame = pl.DataFrame(found, schema=dict(SHIFT))
    return frame.with_columns(pl.selectors.float().fill_nan(None)).sort(
        "dataset", "model", "head", "space"
    )


def _id_dataset(store: Store, wanted: str) -> str:
    candidates = id_candidates(store, wanted, needed=True)
    if not candidates:
        raise EmbedStoreError(
            "the store has no outcomes; encode the in-distribution data set and shifts of it"
        )
    if len(candidates) > 1:
        raise ambiguous(candidates, "drops are measured from", needed=True)
    return candidates[0]


def _measured(store: Store, datasets: str, heads: str, id_name: str) -> pl.DataFrame:
    """Return a row a run under a shift, with its model's group and its ID hits."""
    accuracies = run("accuracy", store, datasets=datasets, heads=heads)
    frame = accuracies.filter(pl.col("dataset") != id_name, pl.col("n_samples") > 0)
    if frame.is_empty():
        raise EmbedStoreError(
            f"no labelled data set besides {id_name!r} matches; encode a shift of it, such as "
            "--data imagenet-a:FOLDER"
        )
    hits = [on_same_classes(store, OutcomeRun(*row), id_name) for row in frame.select(RUN).rows()]
    facts = stored_facts(store, frame["model"].unique().sort()).select("model", "group")
    return frame.select(
        *RUN,
        "n_samples",
        pl.col("top1_accuracy").alias("accuracy"),
        pl.col("top1_low").alias("accuracy_low"),
        pl.col("top1_high").alias("accuracy_high"),
        "n_left_out",
        pl.Series("n_id", [hit and hit[0] for hit in hits], pl.Int64),
        pl.Series("id_correct", [hit and hit[1] for hit in hits], pl.Int64),
    ).join(facts, "model", how="left", maintain_order="left")


def _by_space(rows: pl.DataFrame) -> dict[tuple[str, str], pl.DataFrame]:
    """Part runs by data set and label space: lines are of one space alone."""
    space = pl.col("space").str.strip_suffix(SUFFIX)
    own = space.is_in([ALL]) | (space == pl.col("dataset"))
    parts = rows.with_columns(place=pl.when(own).then(pl.lit(_OWN)).otherwise(space))
    grouped = parts.partition_by("dataset", "place", as_dict=True, include_key=True)
    return {(str(d), str(s)): part.drop("place") for (d, s), part in grouped.items()}


def _named(frame: pl.DataFrame, models: str) -> pl.DataFrame:
    """Return the rows of the models of a group of the zoo, or that a glob matches."""
    if models in GROUPS:
        return frame.filter(pl.col("group") == models)
    return matching(frame, {"model": models})


def _metrics(store: Store, id_name: str, space: str, run_: OutcomeRun) -> tuple[list[str], str]:
    """Return what published results may call ID accuracy on the same classes, and accuracy."""
    top1 = "accuracy.top1_accuracy?dataset="
    published = PUBLISHED_ID if id_name.lower() in ID_NAMES else id_name
    same = [f"{top1}{published}&space={space or run_.dataset}"]
    if not space and {*store.space(run_)["class_ids"]} == {*store.dataset(id_name).class_ids}:
        same.append(f"{top1}{published}")  # the data set's own classes are all of the ID ones
    return same, f"{top1}{run_.dataset}" + (f"&space={space}" if space else "")


def _expectation(
    part: pl.DataFrame,
    metrics: tuple[list[str], str],
    baselines: str,
    published: str | None,
    axis: Axis,
    n_resamples: int,
    seed: int,
) -> tuple[Expectation | None, dict[str, Any]]:
    """Fit the line of baselines on one data set and space, or say why there is none."""
    told: dict[str, Any] = {"baselines": f"{baselines}, {published or 'store'}"}
    try:
        points = (
            _published(metrics, published, baselines) if published else _stored(part, baselines)
        )
        expected = expectation(points, axis, n_resamples=n_resamples, seed=seed)
    except UnknownNameError:  # a mistake in what was asked for, and none of the data
        raise
    except EmbedStoreError as error:
        remedy = "" if published else " (or take published ones: --published timm)"
        return None, told | {"note": f"baselines: {error}{remedy}", "n_baselines": 0}
    line = expected.line
    told |= {"line_slope": line.slope, "line_intercept": line.intercept}
    return expected, told | {"n_baselines": line.n_models}


def _stored(part: pl.DataFrame, baselines: str) -> pl.DataFrame:
    """Return baselines of the store; of several heads a model's own, or else the first by name."""
    measured = _named(part, baselines).filter(pl.col("n_id") > 0)
    measured = measured.sort("model", pl.col("head") != OWN_HEAD, "head")
    return measured.unique("model", keep="first", maintain_order=True).select(
        x=pl.col("id_correct") / pl.col("n_id"), y="accuracy", n_x="n_id", n_y="n_samples"
    )


def _published(metrics: tuple[list[str], str], source: str, baselines: str) -> pl.DataFrame:
    """Return published baselines, by the first of the ID metrics that the source has."""
    (*others, last), shifted = metrics
    for metric in others:
        try:
            return _named(published_points(metric, shifted, source), baselines)
        except EmbedStoreError:
            continue
    return _named(published_points(last, shifted, source), baselines)


def _beside(row: dict[str, Any], expected: Expectation | None, seed: int) -> dict[str, Any]:
    """Return what follows from the accuracies of one run."""
    if not row["n_id"]:
        return {"note": (
            f"head {row['head']!r} has no outcomes or logits on the ID data set among these "
            "classes; give it both data sets, or see embedstore head apply"
        )}  # fmt: skip
    hits = Hits(row["n_id"], row["id_correct"])
    shifted = Hits(row["n_samples"], round(row["accuracy"] * row["n_samples"]))
    low, high = clopper_pearson(hits.n_correct, hits.n_samples)
    drop = newcombe(hits.n_correct, hits.n_samples, shifted.n_correct, shifted.n_samples)
    found = {
        "id_accuracy": hits.accuracy,
        "id_accuracy_low": float(low),
        "id_accuracy_high": float(high),
        "drop": hits.accuracy - row["accuracy"],
        "drop_low": float(drop[0]),
        "drop_high": float(drop[1]),
    }
    if expected is None:
        return found
    accuracy = expected.accuracy(hits)
    bounds = expected.robustness_interval(hits, shifted, seed=seed)
    return found | {
        "expected_accuracy": accuracy,
        "effective_robustness": row["accuracy"] - accuracy,
        "effective_robustness_low": bounds[0],
        "effective_robustness_high": bounds[1],
        "note": f"{expected.line.n_models} baselines are too few for bounds"
        if math.isnan(bounds[0])
        else None,
    }
