"""Patch features through the encoder: with the embeddings, after them, killed and resumed."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from click.testing import CliRunner

from cli import main
from embedstore import Store
from embedstore.datasets.pictures import prepare
from embedstore.datasets.sources import open_source
from embedstore.encode import patches as encode_patches
from embedstore.encode.encoder import Report, encode
from embedstore.encode.images import ImagePass, PatchPass
from embedstore.encode.patches import chosen_layers, fitting_rows, selectors
from embedstore.encode.registration import Dataset
from embedstore.encode.request import Options, Request
from embedstore.errors import DamagedError, ModelError, NonFiniteError, StoreError, UnknownNameError
from embedstore.kernels.normalise import normalise
from embedstore.store.maintenance import Selection, copy, remove, summary
from embedstore.store.patches import find_layer
from embedstore.store.repair import repair
from embedstore.store.verify import verify

#: Bytes of a picture in the toy model's last layer, (3, 3, 6), and in its first, (6, 6, 4).
LAST_BYTES, FIRST_BYTES = 3 * 3 * 6 * 2, 6 * 6 * 4 * 2


def run(store: Path, pictures: Path, *layers: str, model: str = "layered", **options) -> Report:
    settings = {"batch_size": 4, "block_rows": 12, "workers": 1, "patches": layers} | options
    request = Request(
        models=[("toy", f"python:toy_models:{model}")],
        data=[("pets", open_source(f"folder:{pictures}"))],
        prompts=[],
        options=Options(**settings),
    )
    return encode(Store.open(store, create=True), request)


@pytest.fixture
def passes(monkeypatch) -> list[type[ImagePass]]:
    """The passes over pictures, as they are made."""
    made: list[type[ImagePass]] = []
    real = ImagePass.batches

    def counted(self, blocks):
        made.append(type(self))
        return real(self, blocks)

    monkeypatch.setattr(ImagePass, "batches", counted)
    return made


def arrays(store: Path, part: str) -> dict[str, bytes]:
    """Every array and table of a part of the toy model."""
    folder = store / "models/toy" / part
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix != ".json")
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def test_patches_are_those_of_the_model_on_prepared_pixels(tmp_path, pictures, environment, passes):
    import toy_models

    run(tmp_path / "store", pictures, "last", "0")
    assert passes == [ImagePass]  # one pass for embeddings and both layers
    store, model = Store.open(tmp_path / "store"), toy_models.layered()
    assert store.patch_layers("toy", "pets") == [0, 1]
    failed = set(store.failures("toy", "pets")["row"])
    assert len(failed) == 2
    for layer, cells in ((0, ([5, 5], [2, 2])), (1, ([10, 10], [4.5, 4.5]))):  # of 30 pixels of 32
        facts = find_layer(store.files, "toy", "pets", layer)[1].facts
        assert facts["transform"] == model.transform.record()
        assert (facts["cells"]["stride"], facts["cells"]["first"]) == cells
    for layer, shape in ((0, (6, 6, 4)), (1, (3, 3, 6))):
        stored = store.patches("toy", "pets", layer)
        assert (stored.shape, stored.dtype) == ((46, *shape), np.float16)
        for row, path in enumerate(store.samples("pets")["path"]):
            if row in failed:
                assert np.isnan(stored[row]).all()
                continue
            pixels = prepare((pictures / path).read_bytes(), model.transform)[None]
            ready = torch.from_numpy(normalise(pixels, model.transform.mean, model.transform.std))
            expected = model.embed_with_patches(ready, [layer])[2][0]
            np.testing.assert_allclose(stored[row], expected.numpy()[0], atol=2e-3)
    assert verify(store.files) == []


@pytest.mark.parametrize("block_bytes", [1, 4 * LAST_BYTES, 2**28])
def test_embeddings_and_outcomes_are_bit_for_bit_those_without_patches(
    tmp_path, pictures, environment, monkeypatch, block_bytes
):
    monkeypatch.setattr(encode_patches, "BLOCK_BYTES", block_bytes)
    run(tmp_path / "without", pictures)
    run(tmp_path / "with", pictures, "last")
    stores = [Store.open(tmp_path / name) for name in ("without", "with")]
    rows = [np.asarray(s.embeddings("toy", "pets")).view(np.uint16) for s in stores]
    np.testing.assert_array_equal(*rows)
    assert stores[0].outcomes().collect().equals(stores[1].outcomes().collect())


def test_blocks_shrink_until_their_patches_fit(tmp_path, pictures, environment, monkeypatch):
    monkeypatch.setattr(encode_patches, "BLOCK_BYTES", 9 * LAST_BYTES)
    run(tmp_path / "store", pictures, "last")
    for part in ("images/pets", "patches/pets/1"):
        records = list((tmp_path / "store/models/toy" / part / "blocks").glob("*.json"))
        assert len(records) == 6  # 46 rows in blocks of two batches of four


@pytest.mark.parametrize(
    ("limit", "rows"), [(10**9, 1024), (100 * LAST_BYTES, 96), (1, 32), (33 * LAST_BYTES, 32)]
)
def test_rows_that_fit_are_whole_batches(monkeypatch, limit, rows):
    monkeypatch.setattr(encode_patches, "BLOCK_BYTES", limit)
    assert fitting_rows([(3, 3, 6)], 32, 1024) == rows
    assert fitting_rows([], 32, 1000) == 1000


def test_patches_asked_for_later_leave_the_embeddings_alone(
    tmp_path, pictures, environment, passes, monkeypatch
):
    monkeypatch.setattr(encode_patches, "BLOCK_BYTES", 8 * LAST_BYTES)
    store = tmp_path / "store"
    run(store, pictures)
    before = {p: p.stat().st_mtime_ns for p in (store / "models/toy/images").rglob("*")}
    run(store, pictures, "last")
    assert passes == [ImagePass, PatchPass]
    assert {p: p.stat().st_mtime_ns for p in (store / "models/toy/images").rglob("*")} == before
    run(tmp_path / "at-once", pictures, "last")
    assert arrays(store, "patches") == arrays(tmp_path / "at-once", "patches")
    assert run(store, pictures, "-1", "1").already == [("toy", "pets")]
    run(store, pictures, "last", "-2")  # the first layer is new, the last one there
    assert passes[-1] is PatchPass
    assert Store.open(store).patch_layers("toy", "pets") == [0, 1]


@pytest.mark.parametrize("now", ["whole", "gone"])
def test_embeddings_failures_are_those_of_patches_too(
    tmp_path, pictures, environment, monkeypatch, now
):
    """A picture that failed before stays out though it can be read now; others may fail later."""
    moved = tmp_path / "pictures"
    shutil.copytree(pictures, moved)
    run(tmp_path / "store", moved)
    store = Store.open(tmp_path / "store")
    failed = store.failures("toy", "pets")["row"].to_list()
    paths = store.samples("pets")["path"].to_list()
    if now == "whole":
        shutil.copy(moved / paths[0], moved / paths[failed[0]])
    else:
        (moved / paths[5]).unlink()
    known = Dataset(store.dataset("pets"), store.samples("pets"), open_source(f"folder:{moved}"))
    monkeypatch.setattr("embedstore.encode.encoder.register", lambda *_: known)
    run(tmp_path / "store", moved, "last")
    missing = np.flatnonzero(np.isnan(store.patches("toy", "pets")[:, 0, 0, 0])).tolist()
    assert missing == sorted(failed + ([5] if now == "gone" else []))
    assert store.failures("toy", "pets")["row"].to_list() == failed


def test_a_picture_that_only_another_worker_could_read_has_no_patches(
    tmp_path, pictures, environment, monkeypatch
):
    """Its embedding is adopted; what the model makes of an empty place is no patch of it."""
    moved = tmp_path / "pictures"
    shutil.copytree(pictures, moved)
    run(tmp_path / "store", moved)
    store = Store.open(tmp_path / "store")
    folder = tmp_path / "store/models/toy/images/pets"
    (folder / "manifest.json").unlink()  # the other worker was killed before its block's record
    (folder / "blocks/000000.json").unlink()
    paths, failed = store.samples("pets")["path"].to_list(), {5}
    (moved / paths[5]).unlink()
    known = Dataset(store.dataset("pets"), store.samples("pets"), open_source(f"folder:{moved}"))
    monkeypatch.setattr("embedstore.encode.encoder.register", lambda *_: known)
    run(tmp_path / "store", moved, "last")
    assert not np.isnan(store.embeddings("toy", "pets")[5]).any()
    failed |= set(store.failures("toy", "pets")["row"])
    missing = np.flatnonzero(np.isnan(store.patches("toy", "pets")[:, 0, 0, 0]))
    assert set(missing.tolist()) == failed


def test_embeddings_begun_in_other_blocks_are_finished_first(
    tmp_path, pictures, environment, passes, monkeypatch
):
    store = tmp_path / "store"
    run(store, pictures)
    folder = store / "models/toy/images/pets"
    (folder / "manifest.json").unlink()
    (folder / "blocks/000001.json").unlink()
    monkeypatch.setattr(encode_patches, "BLOCK_BYTES", 8 * LAST_BYTES)
    run(store, pictures, "last")
    assert passes == [ImagePass, ImagePass, PatchPass]
    assert verify(Store.open(store).files) == []
    run(tmp_path / "at-once", pictures, "last")
    assert arrays(store, "patches") == arrays(tmp_path / "at-once", "patches")


def test_readers_name_layers_and_say_what_is_there(tmp_path, pictures, environment):
    run(tmp_path / "store", pictures)
    store = Store.open(tmp_path / "store")
    assert store.patch_layers("toy", "pets") == []
    with pytest.raises(StoreError, match="no patches of model 'toy'.*--patches last"):
        store.patches("toy", "pets")
    run(tmp_path / "store", pictures, "0")
    with pytest.raises(UnknownNameError, match=r"'last'; choose one of: 0"):
        store.patches("toy", "pets")
    assert store.patches("toy", "pets", -2).shape == store.patches("toy", "pets", "0").shape
    run(tmp_path / "store", pictures, "last")
    whole = np.asarray(store.patches("toy", "pets"))
    np.testing.assert_array_equal(store.patches("toy", "pets", -1)[5:20, 1], whole[5:20, 1])
    np.testing.assert_array_equal(store.patches("toy", "pets", 1)[[40, 3]], whole[[40, 3]])
    (tmp_path / "store/models/toy/patches/pets/1/manifest.json").unlink()
    with pytest.raises(StoreError, match=r"not finished \(layers 1\)"):
        store.patches("toy", "pets", 1)
    with pytest.raises(UnknownNameError, match=r"unknown layer .*'7'; choose one of: 0"):
        store.patches("toy", "pets", 7)


@pytest.mark.parametrize(
    ("model", "layer", "said"),
    [
        ("layered", "2", "layer 2 is not there: this model has 2, 0 to 1"),
        ("layered", "-3", "layer -3 is not there"),
        ("linear", "last", "this model gives no patch features; leave out --patches"),
    ],
)
def test_layers_that_are_not_there_are_refused_before_pictures_are_read(
    tmp_path, pictures, environment, model, layer, said
):
    with pytest.raises(ModelError, match=said):
        run(tmp_path / "store", pictures, layer, model=model)
    assert Store.open(tmp_path / "store").datasets == []


def test_a_model_that_does_not_say_where_cells_lie_is_refused(monkeypatch, environment):
    import toy_models

    model = toy_models.layered()
    monkeypatch.setattr(type(model), "patch_cells", ())  # as of a class that gives shapes alone
    with pytest.raises(ModelError, match="2 layers and says .* cells of 0 lie; give its patch_ce"):
        chosen_layers(model, ["last"])


def test_what_is_no_layer_is_refused():
    assert selectors(["last,-2", "3", " last"]) == ("last", "-2", "3")
    for text in ("first", "1.5", "", "last,"):
        with pytest.raises(ModelError, match=r"--patches '.*' is no layer; name last, or a number"):
            selectors([text])


def test_patches_too_large_for_float16_name_the_picture(tmp_path, pictures, environment):
    with pytest.raises(NonFiniteError, match=r"patches of row 0 \(bird/000.jpg\).*another layer"):
        run(tmp_path / "store", pictures, "last", model="glaring")
    assert verify(Store.open(tmp_path / "store").files) == []


def test_copied_listed_damaged_mended_and_removed(tmp_path, pictures, environment):
    run(tmp_path / "store", pictures, "last", "0")
    store = Store.open(tmp_path / "store")
    rows = summary(store).filter(summary(store)["head"].str.starts_with("patches"))
    assert rows["head"].to_list() == ["patches/0", "patches/1"]
    assert set(rows["state"]) == {"finished"}
    assert rows["n_bytes"][1] >= 46 * LAST_BYTES

    target = Store.open(tmp_path / "copied", create=True)
    copy(store, target)
    whole = np.asarray(store.patches("toy", "pets", 0))
    np.testing.assert_array_equal(target.patches("toy", "pets", 0), whole)
    assert verify(target.files) == []

    shard = tmp_path / "store/models/toy/patches/pets/0/patches/c/1/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    store = Store.open(tmp_path / "store")
    with pytest.raises(DamagedError, match=r"rows 12 to 23\) is damaged"):
        store.patches("toy", "pets", 0)[15]
    problems = verify(store.files)
    assert [(p.state, p.rows) for p in problems] == [("damaged", (12, 23))]
    assert repair(store.files, problems) == ["models/toy/patches/pets/0"]
    run(tmp_path / "store", pictures, "last", "0")
    np.testing.assert_array_equal(store.patches("toy", "pets", 0), whole)
    assert verify(store.files) == []

    (tmp_path / "store/models/toy/patches/pets/1/manifest.json").unlink()
    said = {(p.file, p.state) for p in verify(store.files)}
    assert ("models/toy/patches/pets/1/manifest.json", "missing") in said
    remove(store, Selection(model="toy", dataset="pets"))
    assert not (tmp_path / "store/models/toy/patches").exists()


def test_a_dry_run_counts_the_bytes_of_patches(tmp_path, pictures, environment):
    from embedstore.encode.estimate import estimate
    from embedstore.encode.progress import Progress

    def n_bytes(*layers: str) -> int:
        data = [("pets", open_source(f"folder:{pictures}"))]
        options = Options(batch_size=4, workers=1, patches=layers)
        request = Request([("toy", "python:toy_models:layered")], data, [], options=options)
        return estimate(str(tmp_path / "store"), request, Progress())["n_bytes"][0]

    without = n_bytes()
    assert n_bytes("last") - without == 46 * LAST_BYTES
    assert n_bytes("last", "0") - without == 46 * (LAST_BYTES + FIRST_BYTES)
    run(tmp_path / "store", pictures, "last")
    assert n_bytes("last", "0") == 46 * FIRST_BYTES


@pytest.mark.parametrize(
    ("words", "layers"),
    [
        (("--patches",), [1]),
        (("--patches", "last,-2"), [0, 1]),
        (("--patches", "-2", "--patches", "1"), [0, 1]),
        (("--patches=0",), [0]),
        ((), []),
    ],
)
def test_the_command_takes_layers_or_none(tmp_path, pictures, environment, words, layers):
    model = ("--model", "toy=python:toy_models:layered")
    data = ("--data", f"pets=folder:{pictures}", "--workers", "1", "--limit", "8")
    command = ["encode", *words, str(tmp_path / "store"), *model, *data]
    said = CliRunner().invoke(main, command, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    assert Store.open(tmp_path / "store").patch_layers("toy", "pets--limit-8") == layers


def test_a_word_that_is_no_layer_is_wrong_usage_or_a_stated_error(tmp_path):
    command = ["encode", str(tmp_path), "--model", "timm:x", "--data", "d=folder:.", "--patches=x"]
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 1
    assert "--patches 'x' is no layer" in said.stderr


def test_killed_and_resumed_gives_the_same_bits(tmp_path, pictures, command):
    def arguments(store: Path) -> list[str]:
        sizes = ("--batch-size", "2", "--block-rows", "4", "--workers", "1", "--patches", "last,0")
        spec = "toy=python:toy_models:layered"
        return ["encode", str(store), "--model", spec, "--data", f"pets=folder:{pictures}", *sizes]

    _, errors = command(*arguments(tmp_path / "quiet"), TOY_SECONDS="0.02").communicate(timeout=120)
    expected = {
        part: arrays(tmp_path / "quiet", part) for part in ("images", "patches", "outcomes")
    }
    assert len(expected["patches"]) == 2 * 12, errors
    chance, store = random.Random(0), tmp_path / "killed"
    begun = store / "models/toy/images/pets/plan.json"
    for _ in range(4):
        racers = [command(*arguments(store), TOY_SECONDS="0.02") for _ in range(2)]
        while racers[0].poll() is None and not begun.exists():
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        for racer in racers:
            alive = racer.poll() is None
            children = psutil.Process(racer.pid).children(recursive=True) if alive else []
            racer.send_signal(signal.SIGKILL)
            racer.communicate()
            assert psutil.wait_procs(children, timeout=20)[1] == []
        _lose_some(store, chance)
    _, errors = command(*arguments(store)).communicate(timeout=120)
    assert "46 pictures, 2 could not be used" in errors or "already there" in errors, errors
    problems = verify(Store.open(store).files)
    assert all(p.state == "leftover" for p in problems)
    repair(Store.open(store).files, problems)
    assert {part: arrays(store, part) for part in expected} == expected


def _lose_some(store: Path, chance: random.Random) -> None:
    """Make runs unfinished again, embeddings or patches alone, so that there is something to do."""
    for part in chance.sample(["images/pets", "patches/pets/0", "patches/pets/1"], 2):
        folder = store / "models/toy" / part
        (folder / "manifest.json").unlink(missing_ok=True)
        records = sorted((folder / "blocks").glob("*.json"))
        for record in chance.sample(records, len(records) // 2):
            record.unlink()
