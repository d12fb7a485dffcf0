"""Many data sets through one model: one load, the same bits, resumed folder by folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from embedstore import Store
from embedstore.datasets.presets.catalog import preset as preset_of
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import Report, encode
from embedstore.encode.images import ImagePass
from embedstore.encode.pool import DecodePool
from embedstore.encode.progress import Progress
from embedstore.encode.request import Options, Request
from embedstore.errors import IdentityError
from embedstore.prompts import imagenet
from embedstore.store import layout
from embedstore.store.runs import BlockRun
from embedstore.store.verify import verify

SIZES = {"one": 1, "seven": 7, "batch": 4, "block": 12, "more": 30}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Data sets of several sizes, no picture twice; the third of each is no picture."""
    root, random = tmp_path_factory.mktemp("folders"), np.random.default_rng(0)
    for name, n_pictures in SIZES.items():
        for i in range(n_pictures):
            path = root / name / ("bird", "cat", "dog", "fish")[i % 4] / f"{i:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (36, 40 + i, 3), np.uint8)).save(path)
            if i == 2:
                path.write_text("nothing")
    return root


def run(store: Path, folders: Path, *names: str, progress=None, **options) -> tuple[Report, Store]:
    settings = {"batch_size": 4, "block_rows": 12, "workers": 2} | options
    request = Request(
        models=[("toy", "python:toy_models:linear")],
        data=[(name, open_source(f"folder:{folders / name}")) for name in names],
        prompts=[],
        options=Options(**settings),
    )
    opened = Store.open(store, create=True)
    return encode(opened, request, progress), opened


def arrays(store: Store, *names: str) -> dict[str, bytes]:
    """Embeddings, logits, outcomes and failures of some data sets."""
    keys = (k for k in store.files.walk("models") if not k.endswith(".json"))
    return {k: store.files.read(k) for k in keys if k.split("/")[3] in names}


@pytest.fixture
def started(monkeypatch) -> list[int]:
    """The rows of a batch of each pool of decoding processes that is started."""
    rows: list[int] = []
    real = DecodePool.__init__

    def counted(self, *args, **settings):
        rows.append(settings["batch_rows"])
        real(self, *args, **settings)

    monkeypatch.setattr(DecodePool, "__init__", counted)
    return rows


def test_one_after_the_other_is_as_each_alone(tmp_path, folders, environment, started):
    report, together = run(tmp_path / "together", folders, *SIZES)
    assert started == [4]  # the same processes decode all
    assert report.n_images == sum(SIZES.values())
    assert [(e.dataset, e.n_rows, e.n_failures) for e in report.encoded] == [
        (name, n, int(n > 2)) for name, n in SIZES.items()
    ]
    assert report.n_failures == 4
    for name in SIZES:
        _, alone = run(tmp_path / name, folders, name)
        assert arrays(together, name) == arrays(alone, name)
        failed = together.failures("toy", name)["row"].to_list()
        assert [together.samples(name)["path"][row] for row in failed] == (
            ["dog/02.jpg"] if SIZES[name] > 2 else []
        )
    assert verify(together.files) == []


def test_stages_are_told_one_after_the_other(tmp_path, folders, environment):
    told: list[tuple[str, int]] = []

    class Heard(Progress):
        def begin(self, stage, total, done=0, unit="images"):
            told.append((stage, total - done))

        def advance(self, n, n_bytes=0):
            told[-1] = (told[-1][0], told[-1][1] - n)

        def end(self):
            told.append(("end", 0))

    run(tmp_path / "s", folders, *SIZES, progress=Heard())
    stages = [f"reading {name}" for name in SIZES] + [f"toy: {name}" for name in SIZES]
    assert told == [pair for stage in stages for pair in ((stage, 0), ("end", 0))]


def test_data_sets_begun_with_larger_batches_are_gone_on_with(
    tmp_path, folders, environment, started
):
    """Slots are made anew, and the bits are those of the batches that were begun with."""
    for name in ("together", "alone"):
        _, store = run(tmp_path / name, folders, "block", batch_size=6)
        (store.files.root / "models/toy/images/block/manifest.json").unlink()
        (store.files.root / "models/toy/images/block/blocks/000000.json").unlink()
    started.clear()
    run(tmp_path / "alone", folders, "block")
    _, together = run(tmp_path / "together", folders, "seven", "block", "more")
    assert started == [6, 4, 6]
    assert arrays(together, "block") == arrays(Store.open(tmp_path / "alone"), "block")


def test_one_that_cannot_be_begun_leaves_those_before_it_finished(tmp_path, folders, environment):
    _, store = run(tmp_path / "s", folders, "more", limit=1)
    plan = BlockRun.planned(store.files, layout.images("toy", "more--limit-1")).plan
    BlockRun.start(store.files, layout.images("toy", "more"), plan)
    with pytest.raises(IdentityError, match=r"images/more was begun with another count of rows"):
        run(tmp_path / "s", folders, "seven", "block", "more", "one")
    assert sorted({r.dataset for r in store.outcome_runs()}) == ["block", "more--limit-1", "seven"]
    assert {v.file for v in verify(store.files)} == set()


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def corruptions(tmp_path, folders) -> Path:
    """ImageNet-3DCC as it is unpacked: 60 folders of three pictures."""
    root = tmp_path / "3dcc"
    pictures = [p for p in sorted((folders / "seven").glob("*/*")) if p.stat().st_size > 100][:3]
    wnids = imagenet().ids[:3]
    preset = preset_of("imagenet-3dcc")
    for corruption in preset.corruptions:
        for severity in range(1, preset.severities + 1):
            for wnid, picture in zip(wnids, pictures, strict=True):
                path = root / corruption / str(severity) / wnid / picture.name
                path.parent.mkdir(parents=True)
                os.link(picture, path)
    return root


@pytest.mark.slow
def test_sixty_corruption_folders_are_one_command(
    tmp_path, corruptions, environment, monkeypatch, started
):
    """Killed in the 21st folder, they go on there; the model is loaded once each time."""
    from embedstore.models import load

    monkeypatch.setenv("TOY_CLASSES", ",".join(imagenet().ids[:3]))
    loads: list[str] = []
    monkeypatch.setattr("embedstore.models.load", lambda spec: loads.append(spec) or load(spec))
    words = ["encode", tmp_path / "s", "--model", "toy=python:toy_models:linear"]
    words += ["--data", f"imagenet-3dcc:{corruptions}?partial=1", "--keep", "embeddings,outcomes"]
    real, collected = ImagePass.collect, []

    def collect(self, *args):
        if len(collected) == 20:
            raise KilledError
        collected.append(self)
        real(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(ImagePass, "collect", collect)
        with pytest.raises(KilledError):
            CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    store = Store.open(tmp_path / "s")
    done = {run.dataset for run in store.outcome_runs()}
    assert len(done) == 20
    again = CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    assert again.exit_code == 0
    assert len(loads) == len(started) == 2
    said = again.stderr.splitlines()
    assert {s.split()[2].rstrip(":") for s in said if "already there" in s} == done
    assert sum("3 pictures" in line for line in said) == 40
    runs = store.outcome_runs()
    assert len({run.dataset for run in runs}) == 60
    assert {run.dataset.rpartition("--")[2] for run in runs} == set("12345")
    assert store.files.folders("models/toy/logits") == []
    assert verify(store.files) == []
    # all hold the same pictures
    said = store.outcomes().select("dataset", "prediction", "confidence").collect()
    assert said.drop("dataset").n_unique() <= 3
