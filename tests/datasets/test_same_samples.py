"""The same photographs in every kind of source: one content, one set of embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.testing.source_contract import pack_parquet, pack_tar, write_tree

N_PICTURES = 60
KINDS = ("folder", "webdataset", "parquet", "csv", "jsonl")


@pytest.fixture
def specs(imagenet_sample, tmp_path) -> dict[str, str]:
    """SPECs of the first photographs as folder, as three shards, as Parquet, as manifests."""
    names = sorted(str(p.relative_to(imagenet_sample)) for p in imagenet_sample.glob("*/*"))
    files = {name: (imagenet_sample / name).read_bytes() for name in names[:N_PICTURES]}
    root = write_tree(tmp_path / "tree", files)
    shuffled = [list(files)[i] for i in np.random.default_rng(0).permutation(N_PICTURES)]
    for i in range(3):
        pack_tar(root / f"part-{i}.tar", {name: files[name] for name in shuffled[i::3]})
    options = {"compression": "snappy", "row_group_size": 10}
    pack_parquet(root / "a.parquet", files, **options)  # rows are read in their order
    columns = {"path": shuffled, "label": [name.split("/")[0] for name in shuffled]}
    pl.DataFrame(columns).write_csv(root / "list.csv")
    pl.DataFrame(columns).write_ndjson(root / "list.jsonl")
    places = (".", "part-{0..2}.tar", "*.parquet", "list.csv", "list.jsonl")
    return {kind: f"{kind}:{root}/{place}" for kind, place in zip(KINDS, places, strict=True)}


def test_embeddings_and_fingerprints_are_the_same(specs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "encode"))
    classes = open_source(specs["folder"]).listing().classes
    monkeypatch.setenv("TOY_CLASSES", ",".join(classes.ids))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    store = Store.open(tmp_path / "store", create=True)
    request = Request(
        models=[("toy", "python:toy_models:linear")],
        data=[(kind, open_source(spec)) for kind, spec in specs.items()],
        prompts=[],
        options=Options(batch_size=16, workers=2),
    )
    encode(store, request)
    expected = np.asarray(store.embeddings("toy", "folder"))
    assert np.isfinite(expected).all()
    assert len(np.unique(expected, axis=0)) == N_PICTURES
    ids = store.samples("folder").select("sample_id", "label", "digest", "n_bytes")
    for kind in KINDS[1:]:
        np.testing.assert_array_equal(np.asarray(store.embeddings("toy", kind)), expected)
        assert store.samples(kind).select(ids.columns).equals(ids)
        assert store.dataset(kind).fingerprint == store.dataset("folder").fingerprint
        assert store.dataset(kind).class_list == "imagenet"
