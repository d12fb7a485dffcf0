"""Prompt sweep: what other wordings of the classes would have changed, without a picture looked at.

Conventions: each text is normalised, averaged over templates, normalised again (Radford et al.,
2021, sec. 3.1.4); cosines are multiplied by the model's own logit scale; logits are cut to the data
set's classes before the softmax; ECE has bins (lo, hi] of equal width; AUROC sets the labelled
pictures that could be read against the readable ones of the OOD data set, higher scores being
in-distribution, ties one half. Bounds are 95 %: Clopper-Pearson for accuracy, DeLong for AUROC.
Templates are counted from 0: `openai-80[12]` is the thirteenth, `openai-80[:12]` the first twelve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.zero_shot import logit_scale
from embedstore.kernels.sweep import Score
from embedstore.prompt_sweep.contests import contests
from embedstore.prompt_sweep.images import readable_images
from embedstore.prompt_sweep.measuring import Measurement
from embedstore.prompt_sweep.sweeping import Sweep
from embedstore.prompt_sweep.texts import set_name
from embedstore.schema.sweep import PROMPT_SWEEP
from embedstore.stats.delong import Areas
from embedstore.stats.intervals import with_clopper_pearson
from embedstore.store import Store
from embedstore.store.contents import TextsRecord, committed
from embedstore.store.names import named

PARTS = ("sets", "templates", "prefixes", "greedy")
EVERY = "*"
Row = dict[str, Any]


@analysis
def prompt_sweep(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    texts: str = EVERY,
    parts: str = ",".join(PARTS),
    ood: str | None = None,
    score: Score = "mcm",
    max_templates: int = 10,
    n_bins: int = 15,
    seed: int = 0,
) -> pl.DataFrame:
    """Accuracy, NLL, ECE and AUROC of text sets, single templates, prefixes and greedy choices.

    Parameters
    ----------
    store
        Where the text embeddings and image embeddings are.
    models
        Glob over names.
    datasets
        Names or globs parted by commas.
    texts
        Text sets, names or globs parted by commas, with or without `--CLASSES`.
    parts
        What is judged, parted by commas: whole ``sets``, ``templates`` alone, ``prefixes`` of the
        first 1 to T, and ``greedy`` choices on one half of the samples, judged on both.
    ood
        Out-of-distribution data sets that AUROC is against, names or globs parted by commas.
    score
        What AUROC ranks samples by: ``mcm`` (largest softmax of plain cosines), ``msp``,
        ``energy`` or ``max-logit``.
    max_templates
        How many templates greedy selection takes at most.
    n_bins
        Bins of confidence.
    seed
        Of the hash of sample ids that parts the halves.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.sweep.PROMPT_SWEEP`; a text set that `texts` asks for and that does not
        name all classes of a data set has one row, whose `note` says so.

    Raises
    ------
    EmbedStoreError
        If a name is unknown, nothing can be judged, or a data set is ID and OOD.

    Examples
    --------
    $ embedstore analyze prompt-sweep clip.store --datasets imagenet --parts sets,templates
    """
    chosen = _parts(parts)
    _check_counts(n_bins=n_bins, max_templates=max_templates)
    outside = named("OOD data set", ood, store.datasets) if ood else []
    inside = _inside(store, datasets, outside)
    rows: list[Row] = []
    swept = False
    for model, sets in _prompts(store, models, texts).items():
        scale, asked = _scale(store, model), score if outside else None
        encoded = committed(store.files, f"models/{model}/images")
        for dataset in (d for d in inside if d in encoded):
            found, left_out = contests(store, model, dataset, sets)
            swept = swept or bool(found)
            others = tuple(readable_images(store, model, name) for name in outside)
            said = {"model": model, "dataset": dataset}
            for contest in found:
                measurement = Measurement(scale, n_bins, asked, contest.grouping)
                sweep = Sweep(store, model, contest, measurement, others, seed, max_templates)
                rows += [said | row for row in _rows(sweep, chosen, sets)]
            rows += [said | _names(sets[n]) | {"note": why} for n, why in left_out.items()]
    if not any("part" in row for row in rows):
        raise _nothing(rows, datasets, parts if swept else "")
    if texts == EVERY:  # then a set that belongs to other data sets is no news
        rows = [row for row in rows if "part" in row]
    convention = (
        "unit texts, mean, unit; own logit scale; cut to the space before the softmax; "
        f"ece: {n_bins} bins (lo, hi]; auroc: labelled against OOD, higher is ID; "
        f"greedy: accuracy, then NLL, on half of the samples (hash of ids, seed {seed})"
    )
    return _table(rows, convention)


def _parts(text: str) -> list[str]:
    """Return the parts that are asked for."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if part not in PARTS:
            raise UnknownNameError("part of a sweep", part, PARTS)
    if not parts:
        raise EmbedStoreError(f"no part is asked for; give --parts some of: {', '.join(PARTS)}")
    return parts


def _scale(store: Store, model: str) -> float:
    """Return what a model's zero-shot heads multiply cosines by.

    Their bias is the same for all classes: no probability depends on it, nor the order of samples.
    """
    found = logit_scale(store, model)
    if found is None:
        raise EmbedStoreError(
            f"model {model!r} has no zero-shot head, which holds its logit scale; make one with: "
            "embedstore prompts encode STORE --model MODEL --set photo"
        )
    return found[0]


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise EmbedStoreError(f"{name} is {count}; give at least 1")


def _inside(store: Store, datasets: str, outside: Sequence[str]) -> list[str]:
    """Return the in-distribution data sets: those that have classes and are not OOD."""
    matching = named("data set", datasets, store.datasets)
    left = [d for d in matching if d not in outside]
    asked_for = {name.strip() for name in datasets.split(",")}  # and not by a glob over others
    clash = sorted(asked_for & set(outside)) or ([] if left else matching)
    if clash:
        raise EmbedStoreError(
            f"data set {clash[0]!r} is to be in- and out-of-distribution; name another with --ood"
        )
    found = [d for d in left if store.dataset(d).class_ids]
    if not found:
        raise EmbedStoreError(
            f"no data set that matches {datasets!r} has classes; name one with labels"
        )
    return found


def _prompts(store: Store, models: str, texts: str) -> dict[str, dict[str, TextsRecord]]:
    """Return the text sets over classes that each model has encoded and `texts` names."""
    sets = {
        model: {
            name: record
            for name in store.text_sets(model)
            if (record := store.texts(name)[0]).kind == "prompts"
        }
        for model in named("model", models, store.models)
    }
    if not any(sets.values()):
        raise EmbedStoreError(
            f"no model that matches {models!r} has text embeddings of prompts; encode some with: "
            "embedstore prompts encode STORE --model MODEL --set openai-80"
        )
    called = {n: set_name(record) for found in sets.values() for n, record in found.items()}
    wanted = set(named("text set", texts, sorted({*called, *called.values()})))
    chosen = {
        model: {n: record for n, record in found.items() if wanted & {n, called[n]}}
        for model, found in sets.items()
    }
    return {model: found for model, found in chosen.items() if found}


def _names(record: TextsRecord) -> Row:
    """Return the columns that name a text set."""
    return {"set": set_name(record), "texts": record.name, "classes": record.class_list}


def _rows(sweep: Sweep, parts: Sequence[str], sets: Mapping[str, TextsRecord]) -> Iterator[Row]:
    """Yield a row an ensemble, half and OOD data set."""
    for result in sweep.results(parts):
        ensemble, measured = result.ensemble, result.measured
        row = _names(sets[ensemble.texts]) | {
            "part": ensemble.part,
            "set": ensemble.name,
            "template": ensemble.template,
            "n_templates": ensemble.n_templates,
            "split": result.split,
            "n_samples": measured.n_samples,
            "n_correct": measured.n_correct,
            "nll": measured.nll,
            "ece": measured.ece,
            "space": sweep.contest.space,
        }
        if not result.areas:
            yield row
        for images, areas in zip(sweep.outside, result.areas, strict=True):
            beside = {"ood": images.dataset, "n_ood": len(images), "score": sweep.measurement.score}
            yield row | beside | _auroc(areas)


def _auroc(areas: Areas | None) -> Row:
    """Return AUROC and its bounds, or why there is none."""
    if areas is None:
        return {"note": "no AUROC: one side has no picture that counts"}
    bounds = zip(("auroc_low", "auroc_high"), areas.interval(), strict=True)
    return {"auroc": float(areas.auroc[0])} | {name: float(bound[0]) for name, bound in bounds}


def _nothing(rows: Sequence[Row], datasets: str, parts: str) -> EmbedStoreError:
    """Return the error that no ensemble was judged; `parts` are those that nothing had."""
    if parts:
        return EmbedStoreError(
            f"nothing to sweep in parts {parts}: no text set has several templates, or a half of "
            "the samples is empty; ask for --parts sets"
        )
    if rows:
        return EmbedStoreError(
            f"text set {rows[0]['texts']!r} cannot be judged: {rows[0]['note']}; encode prompts "
            "over its classes"
        )
    return EmbedStoreError(
        f"no model with prompts has encoded a data set that matches {datasets!r}; encode one, or "
        "name others"
    )


def _table(rows: Sequence[Row], convention: str) -> pl.DataFrame:
    columns = {name: PROMPT_SWEEP.get(name, pl.Int64) for name in [*PROMPT_SWEEP, "n_correct"]}
    frame = pl.DataFrame(rows, schema=columns)
    return (
        frame.with_columns(
            top1_accuracy=pl.col("n_correct") / pl.col("n_samples"), convention=pl.lit(convention)
        )
        .pipe(with_clopper_pearson, "n_correct", "n_samples", low="top1_low", high="top1_high")
        .with_columns(pl.selectors.float().fill_nan(None))  # of no sample
        .select(*PROMPT_SWEEP)
    )
