"""What runs are made of: data sets, models, and heads that both stores hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from embedstore.differences.datasets import DatasetDifference, compare_dataset
from embedstore.differences.findings import Finding
from embedstore.differences.heads import HeadDifference, compare_head, compare_prompts
from embedstore.differences.models import ModelDifference, compare_model
from embedstore.differences.pair import Pair
from embedstore.store import Store
from embedstore.store.contents import committed


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What differs of each, by name; an entry for all that both hold."""

    datasets: Mapping[str, DatasetDifference]
    models: Mapping[str, ModelDifference]
    heads: Mapping[tuple[str, str], HeadDifference]  # by model and name


def compare_ingredients(pair: Pair) -> tuple[Ingredients, list[Finding]]:
    """Compare all that both hold, from the most fundamental up."""
    findings: list[Finding] = []
    datasets, models, heads = {}, {}, {}
    for name in pair.datasets:
        datasets[name], said = compare_dataset(pair, name)
        findings += said
    for name in pair.models:
        models[name], said = compare_model(pair, name)
        findings += said
    ours, theirs = pair.both(_prompts)
    prompts = {}
    for name in (texts for texts in ours if texts in theirs):
        prompts[name], said = compare_prompts(pair, name)
        findings += said
    for model in pair.models:
        ours, theirs = pair.both(Store.heads, model)
        for name in (head for head in ours if head in theirs):
            found = compare_head(pair, models[model], name, prompts.get(name, []))
            heads[model, name], said = found
            findings += said
    return Ingredients(datasets, models, heads), findings


def _prompts(store: Store) -> list[str]:
    """Names of the text sets that heads are made of: captions belong to their data sets."""
    names = committed(store.files, "texts")
    return [name for name in names if store.texts(name)[0].kind == "prompts"]
