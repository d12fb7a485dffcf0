"""Figures of models: a row a model, from a store, from what others published, or from a file.

Columns `FIGURES`: what is known of each model, then its value and of how many samples that is a
proportion.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from embedstore import analysis, schema, zoo
from embedstore.across.facts import FACTS, facts_of_specs, stored_facts
from embedstore.across.metrics import TRIALS, Metric, matching, written
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.held_out import SUFFIX
from embedstore.labels import ALL
from embedstore.published import results, tables

if TYPE_CHECKING:
    from embedstore.store import Store

#: Where a store's own figures are from.
STORE = "store"
#: Columns of figures.
FIGURES = MappingProxyType(
    {
        "source": pl.String,  # `store`, a source of published results, or a file's name
        "model": pl.String,
        "head": pl.String,  # null where the analysis knows none
        **FACTS,
        "value": pl.Float64,  # null where the model has none
        "n_samples": pl.Int64,  # null where that is not known, or the value is no proportion
    }
)


def stored_figures(store: Store, metric: Metric, models: str = "*") -> pl.DataFrame:
    """Return the figures of a store's models: columns `FIGURES`, a row a model and head.

    Where a head was judged in several label spaces and the metric names none, the data set's own
    counts. Rows of one value and number of samples are one figure, such as an overall accuracy
    beside each factor. The prompts of a zero-shot head are those that it is made of.

    Raises
    ------
    UnknownNameError
        If there is no such analysis, column or key.
    EmbedStoreError
        If a model's head has several rows: the message tells what they differ in.
    """
    known = analysis.find(metric.analysis).parameters
    parameters = metric.parameters()
    if "models" in known and "," not in models:
        parameters.setdefault("models", models)
    frame = analysis.run(metric.analysis, store, **parameters)
    filters = metric.filters(frame)
    if "model" not in frame.columns:
        raise EmbedStoreError(
            f"the analysis {metric.analysis!r} has no row a model; choose one that has, such as "
            "accuracy"
        )
    rows = matching(frame, {"model": models, **filters})
    rows = _once(_own_space(rows) if "space" not in metric.keys else rows, metric)
    _refuse_several(rows, metric)
    _refuse_mixture(rows, metric)
    return _described(rows, metric, store)


def published_figures(source: str, metric: Metric) -> pl.DataFrame:
    """Return the figures of published models: columns `FIGURES`, a row a model.

    Raises
    ------
    UnknownNameError
        If there is no such source, or key of its table.
    EmbedStoreError
        If it has no such figures: the message lists those that it has.
    """
    frame = results(source)
    _check_keys(source, frame, metric)
    asked = {"analysis": metric.analysis, "column": metric.column, **metric.keys}
    rows = matching(frame, {k: v for k, v in asked.items() if k in frame.columns})
    if "space" not in metric.keys:
        rows = rows.filter(pl.col("space").is_null())
    if rows.is_empty():
        there = frame.select("analysis", "column", "dataset").unique().sort(pl.all()).drop_nulls()
        offered = [f"{a}.{c}?dataset={d}" for a, c, d in there.iter_rows()]
        raise EmbedStoreError(
            f"{source} has no {metric}; it has, among others: {', '.join(offered[:12])}"
        )
    _refuse_several(rows.drop("origin"), metric)
    facts = facts_of_specs(rows["spec"]).drop("group", "resolution")
    return rows.join(facts, "spec", how="left", maintain_order="left").select(
        "source", "model", pl.lit(None, pl.String).alias("head"), *FACTS, "value", "n_samples"
    )


def figures(
    store: Store,
    text: str,
    models: str = "*",
    published: str | None = None,
    table: str | None = None,
) -> pl.DataFrame:
    """Return figures of the store's models, of published ones, or of a user's files.

    Raises
    ------
    EmbedStoreError
        If both `published` and `table` are given, or there are no such figures.
    """
    check_one_source(published, table)
    if table:
        return tabled_figures(table, text)
    metric = Metric.parse(text)
    return (
        published_figures(published, metric) if published else stored_figures(store, metric, models)
    )


def check_one_source(published: str | None, table: str | None) -> None:
    """Refuse published results and a user's files at once.

    Raises
    ------
    EmbedStoreError
        If both are given.
    """
    if published and table:
        raise EmbedStoreError("both --published and --table are given; choose one")


def tabled_figures(paths: str, column: str, group: str | None = None) -> pl.DataFrame:
    """Return the figures in a column of a user's files, joined: columns `FIGURES`, a row a model.

    Parameters
    ----------
    paths
        One or several files, parted by commas.
    column
        Of one of them; values from 1 to 100 are taken for per cent.
    group
        A fact, or another column of the files: its values stand in place of what the zoo knows, as
        the models' group if it is no fact.

    Raises
    ------
    UnknownNameError
        If `group` is neither.
    EmbedStoreError
        If a file cannot be read, or there is no such column of numbers.
    """
    frame = tables.read_tables(paths.split(","))
    values, _ = tables.column(frame, column)
    specs = [_spec(model) for model in frame["model"]]
    known = pl.DataFrame({"spec": specs}, schema={"spec": pl.String})
    facts = known.join(facts_of_specs(specs), "spec", how="left", maintain_order="left")
    if group is not None:
        facts = _with_group(facts, frame, group)
    return facts.select(
        pl.lit(paths).alias("source"),
        frame["model"],
        pl.lit(None, pl.String).alias("head"),
        *FACTS,
        values.alias("value"),
        pl.lit(None, pl.Int64).alias("n_samples"),
    )


def _with_group(facts: pl.DataFrame, frame: pl.DataFrame, group: str) -> pl.DataFrame:
    if group in frame.columns:
        fact = group if group in FACTS else "group"
        return facts.with_columns(frame[group].cast(FACTS[fact], strict=False).alias(fact))
    if group not in FACTS:
        raise UnknownNameError("fact or column to group by", group, [*FACTS, *frame.columns])
    return facts


def _own_space(rows: pl.DataFrame) -> pl.DataFrame:
    """Of rows that differ in label space, keep the data set's own."""
    if not {"space", "dataset"} <= set(rows.columns):
        return rows
    own = _plain_space() == ALL
    keys = [c for c in ("model", "dataset", "head") if c in rows.columns]
    return rows.filter(own | ~own.any().over(keys))


def _plain_space() -> pl.Expr:
    """Return the label space by what is chosen among: the data set's own classes are `all`."""
    plain = pl.col("space").str.strip_suffix(SUFFIX)
    return pl.when(plain == pl.col("dataset")).then(pl.lit(ALL)).otherwise(plain)


def _once(rows: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """Of rows of a model and head that say the same, keep the first."""
    told = [*_keys(rows), metric.column, TRIALS.get(metric.column, "n_samples")]
    return rows.unique([c for c in told if c in rows.columns], keep="first", maintain_order=True)


def _keys(rows: pl.DataFrame) -> list[str]:
    """Return the columns that a figure is one of."""
    return [c for c in ("model", "head") if c in rows.columns]


def _check_keys(source: str, frame: pl.DataFrame, metric: Metric) -> None:
    """Refuse a key that neither the published table nor a store's would know."""
    known = {*frame.columns, *schema.RUN}
    if metric.analysis in analysis.names():
        known |= analysis.find(metric.analysis).parameters.keys()
    for key in metric.keys:
        if key not in known:
            raise UnknownNameError(f"key of the results of {source}", key, known)


def _refuse_several(rows: pl.DataFrame, metric: Metric) -> None:
    keys = _keys(rows)
    several = rows.filter(pl.struct(keys).is_duplicated())
    if several.is_empty():
        return
    one = several.filter(pl.struct(keys) == several.select(pl.struct(keys)).to_series()[0])
    texts = [c for c, t in one.schema.items() if not t.is_float() and c not in keys]
    differing = [c for c in texts if one[c].n_unique() > 1 and not c.startswith("n_")]
    key = differing[0] if differing else texts[0]
    values = sorted({written(v) for v in one[key]})
    shown = ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
    raise EmbedStoreError(
        f"model {one['model'][0]!r} has {one.height} rows of {metric}: they differ in {key} "
        f"({shown}); choose one with {key}={values[0]}"
    )


def _refuse_mixture(rows: pl.DataFrame, metric: Metric) -> None:
    """Refuse figures of models that were judged among different classes, or asked differently."""
    measured = rows.filter(pl.col(metric.column).is_not_null())
    for key, kind in (("space", "label spaces"), ("protocol", "protocols")):
        if key in metric.keys or not {key, "dataset"} <= set(rows.columns):
            continue
        stated = measured.select(
            "model", kind=_plain_space() if key == "space" else pl.col(key)
        ).drop_nulls()
        kinds = stated.unique("kind", maintain_order=True).rows()
        if len(kinds) > 1:
            shown = "; ".join(f"{model!r} in {value}" for model, value in kinds[:3])
            raise EmbedStoreError(
                f"{metric} would mix {kind} ({shown}); choose with {key}=..., globs parted by "
                "commas where they are comparable"
            )


def _described(rows: pl.DataFrame, metric: Metric, store: Store) -> pl.DataFrame:
    trials = TRIALS.get(metric.column, "n_samples")
    head = pl.col("head") if "head" in rows.columns else pl.lit(None, pl.String)
    n_samples = pl.col(trials) if trials in rows.columns else pl.lit(None)
    text_set = pl.col("head").str.extract(r"^(.+?)--", 1)
    own = pl.when(pl.col("head") == "own").then(pl.col("prompts").fill_null("none"))
    figures = rows.select(
        pl.lit(STORE).alias("source"),
        "model",
        head.alias("head"),
        pl.col(metric.column).cast(pl.Float64).alias("value"),
        n_samples.cast(pl.Int64).alias("n_samples"),
    )
    facts = stored_facts(store, rows["model"].unique().sort())
    return (
        figures.join(facts, "model", how="left", maintain_order="left")
        .with_columns(prompts=pl.coalesce(text_set, own, "head", "prompts"))
        .select(*FIGURES)
    )


def _spec(model: str) -> str | None:
    """Return the SPEC of a model of a published table, by the names that its makers use."""
    name, _, tag = model.partition(" ")
    for spec in (f"open_clip:{name}/{tag}", f"timm:{name}", model):
        if zoo.find(spec):
            return spec
    return None
