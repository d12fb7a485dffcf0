"""Encoding from end to end with toy models: what is stored, resumed, refused and left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedstore import Store
from embedstore.datasets.pictures import prepare
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import Report, encode
from embedstore.encode.progress import Progress
from embedstore.encode.request import Options, Request, block_rows
from embedstore.errors import (
    DatasetError,
    EmbedStoreError,
    IdentityError,
    InvalidNameError,
    NonFiniteError,
    UnknownNameError,
)
from embedstore.heads.stored import load_head
from embedstore.importers.models import imported_model
from embedstore.kernels.normalise import normalise
from embedstore.kernels.outcomes import outcomes
from embedstore.store.runs import BlockRun
from embedstore.store.verify import verify


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.stages: list[str] = []
        self.n_images = 0

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        self.stages.append(stage)

    def advance(self, n: int, n_bytes: int = 0) -> None:
        self.n_images += n

    def notice(self, text: str) -> None:
        self.notices.append(text)


def run(
    store: Path, pictures: Path, model: str = "linear", *, data: str = "pets", **options
) -> tuple[Report, Heard]:
    settings = {"batch_size": 4, "block_rows": 12, "workers": 2} | options
    request = Request(
        models=[("toy", f"python:toy_models:{model}")],
        data=[(data, open_source(f"folder:{pictures}"))],
        prompts=[],
        options=Options(**settings),
    )
    heard = Heard()
    return encode(Store.open(store, create=True), request, heard), heard


@pytest.fixture
def encoded(tmp_path, pictures, environment) -> Store:
    run(tmp_path / "store", pictures)
    return Store.open(tmp_path / "store")


def test_embeddings_are_those_of_the_model_on_prepared_pixels(encoded, pictures):
    import torch
    import toy_models

    model = toy_models.linear()
    stored = np.asarray(encoded.embeddings("toy", "pets"))
    samples = encoded.samples("pets")
    failed = set(encoded.failures("toy", "pets")["row"])
    assert {samples["sample_id"][row] for row in failed} == {"cat/900", "dog/901"}
    for row, path in enumerate(samples["path"]):
        if row in failed:
            assert np.isnan(stored[row]).all()
            continue
        pixels = prepare((pictures / path).read_bytes(), model.transform)[None]
        ready = torch.from_numpy(normalise(pixels, model.transform.mean, model.transform.std))
        expected, _ = model.embed_images(ready)
        np.testing.assert_allclose(stored[row], expected.detach().numpy()[0], atol=1e-3)


def test_outcomes_recomputed_from_stored_embeddings_are_the_stored_ones(encoded):
    head = load_head(encoded, "toy", "own")
    embeddings = np.asarray(encoded.embeddings("toy", "pets"))
    failed = np.isnan(embeddings[:, 0])
    labels = encoded.samples("pets")["label"].to_numpy()
    again = outcomes(head.logits(embeddings), labels, failed=failed)
    kept = encoded.outcomes().collect().filter(~failed)
    np.testing.assert_array_equal(kept["prediction"], again.prediction[~failed])
    for name in ("confidence", "max_logit", "energy", "entropy", "margin", "nll", "brier"):
        np.testing.assert_allclose(kept[name], getattr(again, name)[~failed], atol=1e-5)
    np.testing.assert_array_equal(kept["correct"], (again.prediction == labels)[~failed])


def test_a_native_head_stores_the_models_own_logits(tmp_path, pictures, environment):
    run(tmp_path / "store", pictures, "native")
    store = Store.open(tmp_path / "store")
    embeddings = np.asarray(store.embeddings("toy", "pets"), np.float32)
    logits = np.asarray(store.logits("toy", "pets", "own"))
    np.testing.assert_allclose(logits, embeddings[:, :4] ** 2 * 5, atol=5e-3)
    with pytest.raises(EmbedStoreError, match=r"native.*use the stored logits"):
        load_head(store, "toy", "own").logits(embeddings)


def test_a_second_identical_call_does_nothing_and_loads_nothing(encoded, pictures, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in encoded.files.root.rglob("*") if p.is_file()}
    monkeypatch.setattr("embedstore.models.load", lambda _spec: pytest.fail("loaded a model"))
    report, heard = run(encoded.files.root, pictures)
    assert report.already == [("toy", "pets")]
    assert (report.n_images, report.n_failures, heard.n_images) == (0, 2, 0)
    assert {p: p.stat().st_mtime_ns for p in encoded.files.root.rglob("*") if p.is_file()} == before


def test_a_second_data_set_leaves_the_first_alone(encoded, pictures, tmp_path):
    shutil.copytree(pictures / "cat", tmp_path / "flat")
    report, _ = run(encoded.files.root, tmp_path / "flat", data="flat")
    assert report.n_images == 12
    assert encoded.samples("flat")["label"].null_count() == 12
    kept = encoded.outcomes(datasets="flat").collect()
    assert kept["correct"].null_count() == 12
    assert kept["prediction"].null_count() == 1  # the file that is no picture
    assert verify(encoded.files) == []


def test_another_batch_size_is_ignored_with_a_notice(tmp_path, pictures, environment):
    store = tmp_path / "store"
    run(store, pictures)
    folder = store / "models/toy/images/pets"
    (folder / "manifest.json").unlink()
    (folder / "blocks/000001.json").unlink()
    _, heard = run(store, pictures, batch_size=3)
    assert any("was begun with batches of 4" in notice for notice in heard.notices)
    assert BlockRun.planned(Store.open(store).files, "models/toy/images/pets").plan.batch_rows == 4


def test_limit_takes_evenly_spaced_pictures_under_a_name_of_its_own(
    tmp_path, pictures, environment
):
    run(tmp_path / "store", pictures, limit=8)
    store = Store.open(tmp_path / "store")
    assert store.datasets == ["pets--limit-8"]
    assert sorted(set(store.samples("pets--limit-8")["label"])) == [0, 1, 2, 3]


def test_changed_pictures_under_one_name_are_refused(encoded, pictures, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(pictures, changed)
    Image.new("RGB", (30, 30)).save(changed / "cat" / "001.jpg")
    with pytest.raises(
        DatasetError, match=r"'pets' is in the store with other content .*--data NAME"
    ):
        run(encoded.files.root, changed)


def test_the_same_pictures_elsewhere_are_the_same_data_set(encoded, pictures, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(pictures, moved)
    report, _ = run(encoded.files.root, moved)
    assert report.already == [("toy", "pets")]


def test_another_precision_is_refused_by_its_name(encoded, pictures):
    with pytest.raises(IdentityError, match=r"another precision \(float32, now bfloat16\)"):
        run(encoded.files.root, pictures, precision="bfloat16")


def test_other_weights_are_refused_by_their_name(encoded, pictures, monkeypatch):
    import torch
    import toy_models

    real = toy_models.Projection.__init__

    def other(self, native=False):
        real(self, native)
        self.weights.data = torch.flip(self.weights.data, (0,))

    monkeypatch.setattr(toy_models.Projection, "__init__", other)
    with pytest.raises(IdentityError, match=r"'toy' is in the store with another weights"):
        run(encoded.files.root, pictures, data="again")
    assert encoded.datasets == ["pets"]


def test_a_model_of_imported_results_is_not_taken_for_the_one_of_its_spec(
    tmp_path, pictures, environment
):
    store = Store.open(tmp_path / "s", create=True)
    imported_model(store, "toy", spec="python:toy_models:linear")
    for precision in ("auto", "float32"):
        with pytest.raises(IdentityError, match="'toy' is in the store with another "):
            run(store.files.root, pictures, precision=precision, limit=4)


def test_unknown_precision_and_device(tmp_path, pictures, environment):
    with pytest.raises(UnknownNameError, match="unknown precision 'float8'; choose one of: auto"):
        run(tmp_path / "a", pictures, precision="float8")
    with pytest.raises(EmbedStoreError, match="cannot be used here .*choose --device cpu"):
        run(tmp_path / "b", pictures, device="cuda:9")


@pytest.mark.parametrize("name", ["a/b", "..", "a\nb"])
def test_names_that_cannot_be_folders_are_refused(tmp_path, pictures, environment, name):
    with pytest.raises(InvalidNameError, match="data set name"):
        run(tmp_path / "store", pictures, data=name)


def test_nan_from_the_model_names_the_row_and_keeps_the_store_clean(
    tmp_path, pictures, environment
):
    with pytest.raises(NonFiniteError, match=r"NaN or infinity for row 0 \(bird/000.jpg\)"):
        run(tmp_path / "store", pictures, "broken")
    assert verify(Store.open(tmp_path / "store").files) == []


def test_a_model_without_head_keeps_embeddings_alone(tmp_path, pictures, environment):
    _, heard = run(tmp_path / "store", pictures, "headless")
    assert any("embeddings only" in notice for notice in heard.notices)
    assert Store.open(tmp_path / "store").outcome_runs() == []


def test_resuming_under_other_versions_checks_stored_rows(
    tmp_path, pictures, environment, monkeypatch
):
    import toy_models

    store = tmp_path / "store"
    run(store, pictures)
    folder = store / "models/toy/images/pets"
    (folder / "manifest.json").unlink()
    (folder / "blocks/000002.json").unlink()
    (folder / "embeddings/c/2/0").unlink()
    monkeypatch.setattr("embedstore.encode.loading.provenance", lambda *_: {"torch": "99"})
    real = toy_models.Projection.forward
    monkeypatch.setattr(toy_models.Projection, "forward", lambda m, x: real(m, x.flip(1)))
    with pytest.raises(IdentityError, match=r"begun elsewhere \(.*torch .* -> 99.*same embeddings"):
        run(store, pictures)
    monkeypatch.setattr(toy_models.Projection, "forward", real)
    _, heard = run(store, pictures)
    assert any("stored rows, encoded again, agree" in notice for notice in heard.notices)
    assert verify(Store.open(store).files) == []


def test_records_name_versions_and_device(encoded):
    record = json.loads(
        (encoded.files.root / "models/toy/images/pets/blocks/000000.json").read_text()
    )
    assert {"torch", "python", "device", "pillow", "simplejpeg"} <= set(record["provenance"])
    identity = encoded.model("toy").identity
    assert {"weights", "architecture", "tokenizer", "transform", "precision"} <= set(identity)


@pytest.mark.parametrize(
    ("n_rows", "batch", "wanted", "rows"),
    [(19, 32, 1024, 32), (1000, 32, 1024, 1024), (5000, 3, 1024, 1026)],
)
def test_blocks_are_whole_batches_and_no_larger_than_needed(n_rows, batch, wanted, rows):
    assert block_rows(n_rows, batch, wanted) == rows


def test_blocks_of_other_weights_are_not_taken_over(encoded, pictures, monkeypatch):
    import torch
    import toy_models

    # What a removal that was killed may leave: the record gone, plan and blocks still there.
    folder = encoded.files.root / "models/toy"
    (folder / "model.json").unlink()
    (folder / "images/pets/manifest.json").unlink()
    (folder / "images/pets/blocks/000001.json").unlink()
    real = toy_models.Projection.__init__

    def other(self, native=False):
        real(self, native)
        self.weights.data = torch.flip(self.weights.data, (0,))

    monkeypatch.setattr(toy_models.Projection, "__init__", other)
    with pytest.raises(IdentityError, match="was begun with another model"):
        run(encoded.files.root, pictures)


def test_an_empty_class_more_is_another_data_set(encoded, pictures, tmp_path):
    more = tmp_path / "more"
    shutil.copytree(pictures, more)
    (more / "ant").mkdir()
    with pytest.raises(DatasetError, match="other content"):
        run(encoded.files.root, more)


def test_a_data_set_named_imagenet_keeps_its_own_classes(tmp_path, pictures, environment):
    run(tmp_path / "store", pictures, data="imagenet")
    record = Store.open(tmp_path / "store").dataset("imagenet")
    assert (record.class_list, record.class_ids[0]) == ("imagenet-classes", "bird")


def test_a_removed_data_set_may_come_back_with_other_classes(tmp_path, pictures, environment):
    from embedstore.prompts import prompt_set
    from embedstore.store.maintenance import Selection, remove
    from embedstore.testing.models import save_random_open_clip, tiny_config

    directory = save_random_open_clip(tmp_path / "tiny", tiny_config("clip"))

    def request(folder):
        data = [("pets", open_source(f"folder:{folder}"))]
        models = [("tiny", f"open_clip:{directory}")]
        return Request(models, data, [prompt_set("name")], options=Options(batch_size=8))

    encode(tmp_path / "store", request(pictures))
    store = Store.open(tmp_path / "store")
    assert store.heads("tiny") == ["name--pets"]
    remove(store, Selection(dataset="pets"))
    assert store.heads("tiny") == []
    fewer = tmp_path / "fewer"
    shutil.copytree(pictures, fewer)
    shutil.rmtree(fewer / "fish")
    encode(tmp_path / "store", request(fewer))
    assert store.texts("name--pets")[0].class_ids == ("bird", "cat", "dog")


def test_edited_prompts_are_not_taken_for_those_in_the_store(tmp_path, pictures, environment):
    from embedstore.prompts import prompt_set
    from embedstore.testing.models import save_random_open_clip, tiny_config

    directory = save_random_open_clip(tmp_path / "tiny", tiny_config("clip"))
    mine = tmp_path / "mine.txt"

    def request():
        data = [("pets", open_source(f"folder:{pictures}"))]
        return Request([("tiny", f"open_clip:{directory}")], data, [prompt_set(str(mine))])

    mine.write_text("a photo of a {}.")
    encode(tmp_path / "store", request())
    assert encode(tmp_path / "store", request()).already == [("tiny", "pets")]
    mine.write_text("a sketch of a {}.")
    with pytest.raises(IdentityError, match="with other texts"):
        encode(tmp_path / "store", request())


def test_changed_weights_behind_one_spec_are_noticed(tmp_path, pictures, environment):
    from embedstore.testing.models import save_random_open_clip, tiny_config

    directory = save_random_open_clip(tmp_path / "tiny", tiny_config("clip"))
    data = [("pets", open_source(f"folder:{pictures}"))]
    request = Request([("tiny", f"open_clip:{directory}")], data, [])
    encode(tmp_path / "store", request)
    save_random_open_clip(directory, tiny_config("clip"), seed=1)
    with pytest.raises(IdentityError, match="another weights"):
        encode(tmp_path / "store", request)
