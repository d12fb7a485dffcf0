"""Factors on their way from the zoo into a model's record, and beside its outcomes."""

from __future__ import annotations

import importlib

import polars as pl

import embedstore.models
from embedstore import Store, schema, zoo
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.store.contents import load_model

KNOWN = "timm:vit_base_patch16_clip_224.openai_ft_in12k_in1k"


def test_a_known_models_factors_lie_beside_its_outcomes(
    tmp_path, pictures, environment, monkeypatch
):
    toys = importlib.import_module("toy_models")
    monkeypatch.setattr(embedstore.models, "load", lambda spec: toys.linear())
    request = Request(
        models=[("known", KNOWN), ("mine", "python:toy_models:linear")],
        data=[("pets", open_source(f"folder:{pictures}"))],
        prompts=[],
        options=Options(device="cpu", workers=1),
    )
    encode(str(tmp_path / "s"), request)
    store = Store.open(tmp_path / "s")
    assert load_model(store.files, "known").factors == zoo.factors(KNOWN)
    assert load_model(store.files, "mine").factors == {}
    outcomes = store.outcomes().select("model", *schema.FACTORS).unique().sort("model").collect()
    assert {n: outcomes.schema[n] for n in schema.FACTORS} == dict(schema.FACTORS)
    known, mine = outcomes.drop("model").rows(named=True)
    assert known == {name: zoo.find(KNOWN)[name] for name in schema.FACTORS}
    assert known["samples_seen"] == 12_800_000_000  # more than 32 bits hold
    assert set(mine.values()) == {None}
    assert outcomes.filter(pl.col("training_distribution") == "WIT").height == 1
