"""Clean and corrupted pictures through a model, into one store."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store
from embedstore.encode.pool import DecodePool
from embedstore.models import load
from embedstore.store.verify import verify

pytest.importorskip("imagecorruptions")
MODEL = "toy=python:toy_models:linear"


@pytest.fixture
def encode(manifest, tmp_path, monkeypatch):
    """Run `embedstore encode` over the manifest's pictures."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "encode"))
    monkeypatch.setenv("TOY_CLASSES", "x,y")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(*words):
        words = ("encode", tmp_path / "store", "--model", MODEL, "--workers", "1", *words)
        return CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)

    return run


def test_clean_and_corrupted_stand_side_by_side_and_a_second_run_does_nothing(
    encode, manifest, tmp_path
):
    words = ("--data", f"pets=csv:{manifest}", "--corrupt", "fog:3", "--corrupt", "near_focus:1-2")
    said = encode(*words)
    assert said.exit_code == 0, said.stderr
    store = Store.open(tmp_path / "store")
    names = ["pets", "pets--fog--3", "pets--near_focus--1", "pets--near_focus--2"]
    assert store.datasets == names
    assert len({store.dataset(name).fingerprint for name in names}) == 4
    samples = store.samples("pets--near_focus--2")
    assert samples.select("corruption", "severity").unique().rows() == [("near_focus", 2)]
    assert samples["depth"].to_list() == [f"depth/{name}.png" for name in "abc"]
    assert store.samples("pets")["sample_id"].equals(samples["sample_id"])
    assert {store.dataset(name).class_list for name in names} == {"pets"}
    found = [np.asarray(store.embeddings("toy", name)) for name in names]
    assert all(np.isfinite(f).all() for f in found)
    for i, one in enumerate(found):
        assert all((one != other).any(axis=1).all() for other in found[:i])
    assert verify(store.files) == []

    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "store").rglob("*") if p.is_file()}
    again = encode(*words)
    expected = [f"toy on {name}: already there, nothing to do" for name in names]
    assert again.stderr.splitlines() == expected
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "store").rglob("*") if p.is_file()}
    assert after == before


def test_trial_runs_are_judged_by_the_same_heads_clean_and_corrupted(encode, manifest, tmp_path):
    said = encode("--data", f"pets=csv:{manifest}", "--corrupt", "fog:3", "--limit", "2")
    assert said.exit_code == 0, said.stderr
    store = Store.open(tmp_path / "store")
    assert store.datasets == ["pets--fog--3--limit-2", "pets--limit-2"]
    assert {store.dataset(name).class_list for name in store.datasets} == {"pets"}
    ran = store.model("toy").provenance
    assert ran["imagecorruptions-imaug"] == version("imagecorruptions-imaug")


def test_batches_and_processes_do_not_change_a_picture(encode, manifest, tmp_path):
    noise = ("--corrupt", "gaussian_noise:5")
    encode("--data", f"all=csv:{manifest}", *noise, "--batch-size", "3")
    part = pl.read_csv(manifest)[1:]
    part.write_csv(manifest.parent / "part.csv")
    encode("--data", f"part=csv:{manifest.parent}/part.csv", *noise, "--batch-size", "3")
    store = Store.open(tmp_path / "store")
    whole, rest = (
        np.asarray(store.embeddings("toy", f"{name}--gaussian_noise--5"), np.float32)
        for name in ("all", "part")
    )
    np.testing.assert_allclose(rest, whole[1:], atol=1e-3)


def test_a_bad_map_is_one_failure_and_a_dry_run_measures_corrupted_pictures(
    encode, manifest, tmp_path
):
    (manifest.parent / "depth" / "b.png").write_bytes(b"no map")
    words = ("--data", f"pets=csv:{manifest}", "--corrupt", "fog_3d:5")
    dry = encode(*words, "--dry-run", "--format", "csv")
    assert dry.exit_code == 0
    assert [line.split(",")[1] for line in dry.stdout.splitlines()[1:]] == [
        "pets", "pets--fog_3d--5",
    ]  # fmt: skip
    said = encode(*words, "--strict")
    assert said.exit_code == 3
    *_, counted, why, following = said.stderr.splitlines()
    assert counted == "toy on pets--fog_3d--5: 3 pictures, 1 could not be used"
    assert why.startswith("1 of them, such as b.png: transform: the depth map cannot be read")
    assert following == f"next: embedstore analyze corruptions {tmp_path / 'store'}"
    failures = Store.open(tmp_path / "store").failures("toy", "pets--fog_3d--5")
    assert failures.select("row", "stage").rows() == [(1, "transform")]
    assert failures["reason"][0].startswith("the depth map cannot be read")


def test_a_dry_run_measures_what_is_alike_once_and_counts_a_heads_texts_once(
    encode, manifest, monkeypatch
):
    decoded, submit = [], DecodePool.submit

    def counted(self, slot, locators):
        decoded.extend(locators)
        return submit(self, slot, locators)

    def with_texts(spec):
        model = load(spec)
        model.has_text = True
        return model

    monkeypatch.setattr(DecodePool, "submit", counted)
    monkeypatch.setattr("embedstore.models.load", with_texts)
    monkeypatch.setattr("embedstore.encode.estimate._texts_per_second", lambda _: 100.0)
    words = ("--model", "other=python:toy_models:headless", "--corrupt", "fog_3d:1-3")
    words += ("--data", f"pets=csv:{manifest}", "--prompts", "name", "--prompts", "openai-7")
    said = encode(*words, "--dry-run", "--format", "json")
    assert said.exit_code == 0, said.stderr
    rows = json.loads(said.stdout)
    assert [row["n_texts"] for row in rows] == [(1 + 7) * 2, 0, 0, 0] * 2
    assert len({row["images_per_second"] for row in rows}) == 4  # two models, clean and corrupted
    assert len(decoded) == 4 * 3  # each of them the three pictures that there are


def test_a_store_refuses_other_maps_under_the_same_name(encode, manifest):
    words = ("--data", f"pets=csv:{manifest}", "--corrupt", "fog_3d:1")
    assert encode(*words).exit_code == 0
    shutil.copy(manifest.parent / "a.png", manifest.parent / "depth" / "c.png")
    said = encode(*words)
    assert said.exit_code == 1
    assert "'pets--fog_3d--1' is in the store with other content" in said.stderr
