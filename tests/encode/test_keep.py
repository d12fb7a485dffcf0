"""`--keep embeddings,outcomes`: outcomes of logits that are not stored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis
from embedstore.datasets.sources import open_source
from embedstore.differences.comparing import diff
from embedstore.encode.encoder import Report, encode
from embedstore.encode.estimate import OUTCOME_BYTES, estimate
from embedstore.encode.images import ImagePass
from embedstore.encode.progress import Progress
from embedstore.encode.request import KEPT, Options, Request
from embedstore.errors import EmbedStoreError, IdentityError, StoreError, UnknownNameError
from embedstore.exporters.exporting import export
from embedstore.exporters.selection import Chosen
from embedstore.heads.applying import apply_head
from embedstore.heads.outcomes_alone import OutcomesAlone
from embedstore.heads.run import HeadRun
from embedstore.heads.stored import load_head
from embedstore.labels import ClassMap, judgement, judgements
from embedstore.store import layout
from embedstore.store.maintenance import copy, summary
from embedstore.store.pointers import write_pointer
from embedstore.store.repair import repair
from embedstore.store.runs import BlockRun
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store

ALONE = ("embeddings", "outcomes")
LOGITS = "models/toy/logits/pets/own"
PAIRS = ClassMap("pairs", {"x": ("bird", "cat"), "y": ("dog", "fish")}, rule="mean")


def request(pictures: Path, model: str, keep: tuple[str, ...], **options) -> Request:
    settings = {"batch_size": 4, "block_rows": 12, "workers": 1, "keep": keep} | options
    return Request(
        models=[("toy", f"python:toy_models:{model}")],
        data=[("pets", open_source(f"folder:{pictures}"))],
        prompts=[],
        options=Options(**settings),
    )


def run(store: Path, pictures: Path, model="linear", keep=ALONE) -> tuple[Report, Store]:
    opened = Store.open(store, create=True)
    return encode(opened, request(pictures, model, keep)), opened


def contents(store: Store, part: str = "models/toy") -> dict[str, bytes]:
    """Every file of a part of the store that holds results, not their provenance."""
    kept = (k for k in store.files.walk() if k.startswith(part) and "/images/" not in k)
    return {key: store.files.read(key) for key in kept}


@pytest.mark.parametrize("model", ["linear", "native"])
def test_outcomes_are_byte_for_byte_those_beside_logits(tmp_path, pictures, environment, model):
    _, whole = run(tmp_path / "whole", pictures, model, KEPT)
    report, alone = run(tmp_path / "alone", pictures, model)
    assert (report.n_images, report.n_failures) == (46, 2)
    assert alone.files.folders("models/toy/logits") == []
    beside = {k: v for k, v in contents(whole).items() if not k.startswith("models/toy/logits")}
    assert contents(alone) == beside
    assert verify(alone.files) == []
    assert summary(alone)["state"].unique().to_list() == ["finished"]
    assert copy(alone, whole) == 0  # all that it has is there, and the same


@pytest.mark.parametrize("model", ["linear", "native"])
def test_a_later_encode_adds_logits(tmp_path, pictures, environment, model):
    _, whole = run(tmp_path / "whole", pictures, model, KEPT)
    run(tmp_path / "store", pictures, model)
    report, store = run(tmp_path / "store", pictures, model, KEPT)
    # a native head's logits are nowhere, and the pictures go through the model again
    assert report.n_images == (46 if model == "native" else 0)
    assert contents(store) == contents(whole)
    assert verify(store.files) == []


def test_what_is_there_is_left_alone(tmp_path, pictures, environment, monkeypatch):
    run(tmp_path / "whole", pictures, keep=KEPT)
    run(tmp_path / "alone", pictures)
    monkeypatch.setattr("embedstore.models.load", lambda _spec: pytest.fail("loaded a model"))
    for name in ("whole", "alone"):
        before = contents(Store.open(tmp_path / name))
        report, store = run(tmp_path / name, pictures)
        assert report.already == [("toy", "pets")]
        assert contents(store) == before


def test_who_asks_for_logits_is_told_the_command_that_makes_them(tmp_path, pictures, environment):
    _, whole = run(tmp_path / "whole", pictures, keep=KEPT)
    _, store = run(tmp_path / "my store", pictures)
    with pytest.raises(StoreError, match="make them from the embeddings with: embedstore") as told:
        store.logits("toy", "pets", "own")
    with pytest.raises(StoreError) as said:
        export(Chosen(store, tmp_path / "logits.npy"), "logits")
    assert str(said.value) == str(told.value)
    command = str(told.value).partition("with: embedstore ")[2]
    words = [w.replace("%", " ") for w in command.replace("my store", "my%store").split()]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(
        np.asarray(store.logits("toy", "pets", "own")),
        np.asarray(whole.logits("toy", "pets", "own")),
    )


def test_of_a_native_head_only_another_pass_gives_logits(tmp_path, pictures, environment):
    _, store = run(tmp_path / "store", pictures, "native")
    with pytest.raises(StoreError, match="only the model gives them; run the same .* without"):
        store.logits("toy", "pets", "own")
    with pytest.raises(StoreError, match="without --keep"):
        apply_head(store, "toy", "pets", "own", [PAIRS])


class KilledError(Exception):
    """Stands for a kill."""


def killed_after(monkeypatch, kind, n_blocks: int, store: Path, pictures: Path, *arguments):
    """Encode until `n_blocks` blocks of a head are committed."""
    real, done = kind.commit, []

    def commit(self, block, *rest):
        if len(done) == n_blocks:
            raise KilledError
        real(self, block, *rest)
        done.append(block)

    with monkeypatch.context() as patched:
        patched.setattr(kind, "commit", commit)
        with pytest.raises(KilledError):
            run(store, pictures, *arguments)


@pytest.mark.parametrize("keep", [ALONE, KEPT])
@pytest.mark.parametrize("model", ["linear", "native"])
def test_killed_and_resumed(tmp_path, pictures, environment, monkeypatch, model, keep):
    _, whole = run(tmp_path / "whole", pictures, model, keep)
    killed_after(monkeypatch, OutcomesAlone, 2, tmp_path / "store", pictures, model)
    store = Store.open(tmp_path / "store")
    assert verify(store.files) == []
    assert store.outcome_runs() == []
    assert store.files.names("models/toy/outcomes/pets/own/all/blocks") == [
        f"00000{block}.{what}" for block in (0, 1) for what in ("json", "outcomes.parquet")
    ]
    report, _ = run(tmp_path / "store", pictures, model, keep)
    # three blocks of 12 have embeddings; of a native head the third, or all, lack what it says
    left = {"linear": 10, "native": 22 if keep == ALONE else 46}[model]
    assert report.n_images == left
    assert contents(store) == contents(whole)
    assert verify(store.files) == []


def test_logits_that_were_begun_are_gone_on_with(tmp_path, pictures, environment, monkeypatch):
    _, whole = run(tmp_path / "whole", pictures, keep=KEPT)
    killed_after(monkeypatch, HeadRun, 2, tmp_path / "store", pictures, "linear", KEPT)
    notices: list[str] = []

    class Heard(Progress):
        def notice(self, text: str) -> None:
            notices.append(text)

    store = Store.open(tmp_path / "store")
    encode(store, request(pictures, "linear", ALONE), Heard())
    assert "own on pets was begun with logits: going on so" in notices
    assert contents(store) == contents(whole)


def test_an_unfinished_head_is_shown_and_a_damaged_block_mended(
    tmp_path, pictures, environment, monkeypatch
):
    _, whole = run(tmp_path / "whole", pictures)
    _, store = run(tmp_path / "store", pictures)
    shutil.rmtree(store.files.path("models/toy/outcomes"))
    write_pointer(store.files, "toy", "pets")
    images = BlockRun.planned(store.files, layout.images("toy", "pets"))
    begun(store, images).commit(1, images.read(1, "embeddings"))
    states = dict(summary(store).select("head", "state").iter_rows())
    assert states == {None: "finished", "own": "unfinished"}
    block = "models/toy/outcomes/pets/own/all/blocks/000001.outcomes.parquet"
    store.files.path(block).write_bytes(b"nonsense")
    problems = verify(store.files)
    assert [(p.file, p.state, p.rows) for p in problems] == [(block, "damaged", (12, 23))]
    repair(store.files, problems)
    report, _ = run(tmp_path / "store", pictures)
    assert report.n_images == 0
    assert contents(store) == contents(whole)


def begun(store: Store, images: BlockRun, *spaces: ClassMap) -> OutcomesAlone:
    """The outcomes of the toy model's head, of which no block is there yet."""
    head = load_head(store, "toy", "own")
    record, samples = store.dataset("pets"), store.samples("pets")
    judged = judgements(head.class_ids, record, samples)
    judged += [judgement(space, head.class_ids, record, samples) for space in spaces]
    return OutcomesAlone.start(store, images, ("toy", "pets", "own"), head, judged)


def test_workers_that_race_agree_and_leave_nothing(tmp_path, pictures, environment):
    _, whole = run(tmp_path / "whole", pictures, keep=KEPT)
    apply_head(whole, "toy", "pets", "own", [PAIRS])
    _, store = run(tmp_path / "store", pictures)
    shutil.rmtree(store.files.path("models/toy/outcomes"))
    images = BlockRun.planned(store.files, layout.images("toy", "pets"))
    first, second = (begun(store, images, PAIRS) for _ in range(2))
    for block in range(4):
        for worker in (first, second)[: 2 if block < 2 else 1]:
            worker.commit(block, images.read(block, "embeddings"))
    assert second.missing() == []
    first.finish()
    second.commit(3, images.read(3, "embeddings"))  # it was at it, and finds all done
    assert second.missing() == []
    second.finish()
    outcomes = contents(store, "models/toy/outcomes")
    assert outcomes == contents(whole, "models/toy/outcomes")
    assert len(outcomes) == 2 * 3


def test_a_space_begun_or_judged_otherwise_is_refused(tmp_path, pictures, environment):
    _, store = run(tmp_path / "store", pictures)
    images = BlockRun.planned(store.files, layout.images("toy", "pets"))
    begun(store, images, PAIRS)
    other = ClassMap("pairs", {"x": ("bird", "dog"), "y": ("cat", "fish")})
    with pytest.raises(IdentityError, match="begun with another label space"):
        begun(store, images, other)
    work = begun(store, images, PAIRS)
    for block in work.missing():
        work.commit(block, images.read(block, "embeddings"))
    work.finish()
    with pytest.raises(IdentityError, match="judged in another label space of that name"):
        begun(store, images, other)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Store, Store]:
    """A store with logits, and the same without."""
    folder = tmp_path_factory.mktemp("keep")
    whole = random_store(folder / "a", datasets=("imagenet", "shifted"), n_samples=300, failed=(7,))
    shutil.copytree(folder / "a", folder / "b")
    alone = Store.open(folder / "b")
    shutil.rmtree(alone.files.path("models/model/logits"))
    repair(alone.files, verify(alone.files))
    return whole, alone


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("accuracy", {}),
        ("calibration", {"n_bins": 5}),
        ("reliability", {"n_bins": 5}),
        ("shift", {}),
        ("ood", {"ood": "shifted"}),
    ],
)
def test_analyses_make_logits_of_embeddings(two, name, options):
    whole, alone = (analysis.run(name, store, **options) for store in two)
    numbers = pl.selectors.float()
    assert alone.drop(numbers).equals(whole.drop(numbers))
    for column in whole.select(numbers).columns:
        np.testing.assert_allclose(
            alone[column].to_numpy(), whole[column].to_numpy(), rtol=2e-3, atol=2e-4, err_msg=column
        )
    if name == "calibration":
        assert alone["temperature"].null_count() == 0


def test_stores_differ_in_logits_alone(two):
    found = diff(*two)
    assert found.select("kind", "what").rows() == [("only in A", "logits")] * 2


def test_a_dry_run_counts_what_is_kept(tmp_path, pictures, environment):
    def n_bytes(*keep: str) -> int:
        asked = request(pictures, "linear", keep)
        return estimate(str(tmp_path / "store"), asked, Progress())["n_bytes"][0]

    of_logits, of_outcomes = 46 * (4 * 2 + 4), 46 * OUTCOME_BYTES
    assert n_bytes(*ALONE) == 46 * 24 * 2 + of_outcomes
    assert n_bytes(*KEPT) == 46 * 24 * 2 + of_outcomes + of_logits
    run(tmp_path / "store", pictures)
    assert n_bytes(*ALONE) == 0
    assert n_bytes(*KEPT) == of_logits


def test_a_dry_run_knows_that_a_native_heads_logits_take_another_pass(
    tmp_path, pictures, environment
):
    run(tmp_path / "store", pictures, "native")
    hours = [
        estimate(str(tmp_path / "store"), request(pictures, "native", keep), Progress())["hours"][0]
        for keep in (ALONE, KEPT)
    ]
    assert hours[0] == 0 < hours[1]


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (("embeddings", "tables"), UnknownNameError, "'tables'; choose one of: embeddings, logits"),
        (("embeddings", "logits"), EmbedStoreError, "outcomes are always kept"),
        (("outcomes",), EmbedStoreError, "embeddings are always kept.* --keep embeddings,outcomes"),
    ],
)
def test_what_cannot_be_left_out_is_said(pictures, environment, keep, error, message):
    with pytest.raises(error, match=message):
        request(pictures, "linear", keep)


def test_the_command_takes_parts(tmp_path, pictures, environment, monkeypatch):
    seen = []
    monkeypatch.setattr(ImagePass, "__init__", lambda *_a, **_k: seen.append("a pass"))

    def invoke(keep):
        words = ["encode", tmp_path / "s", "--model", "m=python:toy_models:linear"]
        words += ["--data", f"pets=folder:{pictures}", "--keep", keep, "--dry-run"]
        return CliRunner().invoke(main, list(map(str, words)))

    assert invoke("embeddings, outcomes").exit_code == 0
    done = invoke("embeddings,all")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "unknown part to keep 'all'" in done.stderr
    assert not seen
