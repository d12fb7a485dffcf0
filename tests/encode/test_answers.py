"""Language models through the encoder: what is asked, answered, kept, resumed and refused."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from cli import main
from embedstore import Store, schema
from embedstore.analysis import run as analyse
from embedstore.datasets.pictures import decode
from embedstore.datasets.sources import open_source
from embedstore.encode.answers.answer_pass import AnswerPass
from embedstore.encode.answers.questions import Asker, Questions, find_protocol
from embedstore.encode.encoder import Report, encode
from embedstore.encode.progress import Progress
from embedstore.encode.request import Options, Request
from embedstore.errors import EmbedStoreError, IdentityError, NonFiniteError, UnknownNameError
from embedstore.heads.stored import load_head
from embedstore.models import load_answering
from embedstore.models.llava_adapter import LlavaModel
from embedstore.store.answers import answer_failures, answers_manifest
from embedstore.store.maintenance import Selection, copy, remove, summary
from embedstore.store.repair import repair
from embedstore.store.verify import verify
from embedstore.testing.llava import save_random_llava

REFERENCE = "toy@own"


class Heard(Progress):
    """Keeps what it is told, and stops a run after so many batches."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.notices: list[str] = []
        self.stages: list[str] = []
        self.n_batches, self.stop_after = 0, stop_after

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        self.stages.append(stage)
        self.n_batches = 0

    def advance(self, n: int, n_bytes: int = 0) -> None:
        self.n_batches += 1
        if self.n_batches == self.stop_after and "llava" in self.stages[-1]:
            raise KeyboardInterrupt

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small take 15 times as long on threads that wait for each other."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(autouse=True, scope="module")
def loaded_once() -> Iterator[None]:
    """Load each model once; the adapter's own tests are about loading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embedstore.models.load_answering", cache(load_answering))
        yield


@pytest.fixture(scope="module")
def pictures(pictures, tmp_path_factory) -> Path:
    """22 of the 46 pictures, both that cannot be read among them."""
    folder = tmp_path_factory.mktemp("few")
    for path in pictures.rglob("*.jpg"):
        if not 20 <= int(path.stem) < 900:
            (folder / path.parent.name).mkdir(exist_ok=True)
            shutil.copy(path, folder / path.parent.name)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory) -> Path:
    return save_random_llava(tmp_path_factory.mktemp("llava") / "model", "llava_next")


@pytest.fixture(scope="module")
def judged(tmp_path_factory, pictures) -> Path:
    """A store in which the toy model has judged all pictures."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TOY_CLASSES", "bird,cat,dog,fish")
    patch.syspath_prepend(str(Path(__file__).parent))
    store = tmp_path_factory.mktemp("judged") / "store"
    request = Request(
        models=[("toy", "python:toy_models:linear")],
        data=[("pets", open_source(f"folder:{pictures}"))],
        prompts=[],
    )
    encode(Store.open(store, create=True), request)
    patch.undo()
    return store


@pytest.fixture
def store(judged, tmp_path) -> Path:
    return Path(shutil.copytree(judged, tmp_path / "store"))


def ask(
    store: Path,
    pictures: Path,
    llava: Path,
    protocol: str = "two-options",
    *,
    reference: str | None = None,
    decoding: str = "likelihood",
    progress: Progress | None = None,
    **options,
) -> Report:
    if protocol == "two-options" and reference is None:
        reference = REFERENCE
    settings = {"batch_size": 4, "block_rows": 8, "workers": 1, "device": "cpu"} | options
    request = Request(
        models=[("llava", f"llava:{llava}")],
        data=[("pets", open_source(f"folder:{pictures}"))],
        prompts=[],
        options=Options(**settings),
        questions=Questions.of(protocol, reference, decoding),
    )
    return encode(Store.open(store), request, progress)


@pytest.fixture(scope="module")
def asked_once(judged, pictures, llava, tmp_path_factory) -> Path:
    """A store with two options asked and one layer's patches kept: to be read, never added to."""
    store = Path(shutil.copytree(judged, tmp_path_factory.mktemp("asked") / "store"))
    report = ask(store, pictures, llava, patches=("0",))
    assert [(e.n_rows, e.n_failures) for e in report.encoded] == [(22, 2)]
    return store


@pytest.fixture
def answered(asked_once, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(asked_once, tmp_path / "answered"))


def table(store: Path, protocol: str = "two-options") -> pl.DataFrame:
    return Store.open(store).answers("llava", "pets", protocol)


def failed_rows(store: Path) -> list[int]:
    return Store.open(store).failures("toy", "pets")["row"].to_list()


def test_the_strongest_wrong_class_is_asked_in_both_orders(asked_once):
    store, opened = asked_once, Store.open(asked_once)
    samples, answers, failed = opened.samples("pets"), table(store), failed_rows(store)
    assert dict(answers.schema) == dict(schema.ANSWERS)
    assert answers["sample_index"].to_list() == [i for i in range(22) for _ in range(2)]
    head = load_head(opened, "toy", "own")
    embeddings = np.asarray(opened.embeddings("toy", "pets")).astype(np.float32)
    names = opened.dataset("pets").class_names
    for row, label in enumerate(samples["label"]):
        first, second = answers.filter(pl.col("sample_index") == row).iter_rows(named=True)
        assert (first["order"], second["order"]) == (0, 1)
        if row in failed:
            assert all(
                first[c] is None for c in schema.ANSWERS if c not in ("sample_index", "order")
            )
            continue
        logits = head.logits(embeddings[row : row + 1])[0]
        wrong = max((c for c in range(4) if c != label), key=lambda c: (logits[c], -c))
        assert first["option_classes"] == [label, wrong]
        assert second["option_classes"] == [wrong, label]
        assert first["options"] == [names[label], names[wrong]]
        assert first["prediction"] == first["option_classes"][np.argmax(first["scores_per_token"])]
        assert first["answer"] == names[first["prediction"]]
        assert first["text"] is None
    assert verify(opened.files) == []


def test_scores_are_the_models_and_outcomes_the_best_mean(asked_once, pictures, llava):
    store, opened, answers = asked_once, Store.open(asked_once), table(asked_once)
    model = load_answering(f"llava:{llava}")
    model.to(torch.device("cpu"), torch.float32)
    asker = Asker(find_protocol("two-options"), opened.dataset("pets").class_names, "pets")
    outcomes = opened.outcomes("llava").collect()
    assert outcomes["head"].unique().to_list() == ["two-options"]
    samples, failed = opened.samples("pets"), failed_rows(store)
    for row in range(22):
        mine = answers.filter(pl.col("sample_index") == row)
        if row in failed:
            assert outcomes["correct"][row] is None
            continue
        label, rival = mine["option_classes"][0].to_list()
        questions = [a.question for a in asker.ask("", label, rival)]
        picture = decode((pictures / samples["path"][row]).read_bytes())
        said = model.answer([model.prepare(picture)], [questions]).likelihoods[0]
        for stored, likely in zip(mine.iter_rows(named=True), said, strict=True):
            np.testing.assert_allclose(stored["scores"], likely.sums, atol=1e-4)
            np.testing.assert_allclose(stored["scores_per_token"], likely.per_token, atol=1e-4)
        true = said[0].per_token[0] + said[1].per_token[1]
        wrong = said[0].per_token[1] + said[1].per_token[0]
        assert abs(true - wrong) > 1e-4  # else either may win
        assert outcomes["prediction"][row] == (label if true > wrong else rival)
        assert outcomes["correct"][row] == (true > wrong)
    accuracy = analyse("accuracy", opened, models="llava")
    assert accuracy["n_samples"].to_list() == [20]
    assert accuracy["n_left_out"].to_list() == [2]


def test_batches_and_blocks_of_other_sizes_give_the_same_scores(asked_once, store, pictures, llava):
    ask(store, pictures, llava, batch_size=7, block_rows=7)
    a, b = (table(s)["scores"].drop_nulls().explode().to_numpy() for s in (store, asked_once))
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_an_interrupted_run_goes_on_and_ends_the_same(asked_once, store, pictures, llava):
    for stop_after in (3, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            ask(store, pictures, llava, patches=("0",), progress=Heard(stop_after))
    opened = Store.open(store)
    begun = summary(opened).filter(pl.col("model") == "llava")
    assert begun["state"].to_list() == ["1 of 3 blocks"] * len(begun)
    with pytest.raises(UnknownNameError, match="none there"):
        opened.answers("llava", "pets", "two-options")
    heard = Heard()
    report = ask(store, pictures, llava, patches=("0",), batch_size=9, progress=heard)
    assert report.n_images == 14  # of the two blocks that were left
    assert table(store).equals(table(asked_once))
    ours, theirs = (
        np.asarray(Store.open(s).patches("llava", "pets", 0)) for s in (store, asked_once)
    )
    np.testing.assert_array_equal(ours, theirs)
    assert verify(opened.files) == []
    assert not list((store / "models/llava/answers").rglob("blocks"))
    again = ask(store, pictures, llava, patches=("0",))
    assert again.already == [("llava", "pets")]
    assert (again.n_images, again.n_failures) == (0, 2)


def test_what_is_there_needs_no_model(answered, pictures, llava, monkeypatch):
    monkeypatch.setattr("embedstore.models.load_answering", None)  # nobody may call it
    assert ask(answered, pictures, llava).already == [("llava", "pets")]


def test_a_worker_that_comes_second_adopts_what_the_first_wrote(
    store, pictures, llava, monkeypatch
):
    """The other could not read row 5: its table counts, and our failures follow it."""
    real = AnswerPass._write

    def raced(self, number, block):
        if number == 0:
            theirs = pl.DataFrame(block.answers, schema=dict(schema.ANSWERS))
            gone = [
                pl.when(pl.col("sample_index") != 5).then(pl.col(c)).alias(c)
                for c in schema.ANSWERS
                if c not in ("sample_index", "order")
            ]
            from embedstore.store.tables import to_parquet

            self.run.held_table(0, "answers", to_parquet(theirs.with_columns(gone)))
        real(self, number, block)

    monkeypatch.setattr(AnswerPass, "_write", raced)
    ask(store, pictures, llava, patches=("0",))
    opened = Store.open(store)
    failures = answer_failures(opened.files, "llava", "pets", "two-options")
    assert failures.filter(pl.col("row") == 5).rows() == [
        (5, "decode", "failed for another worker")
    ]
    assert opened.failures("llava", "pets").equals(failures)
    assert table(store).filter(pl.col("sample_index") == 5)["scores"].null_count() == 2
    assert np.isnan(opened.patches("llava", "pets", 0)[5]).all()
    assert opened.outcomes("llava").collect()["correct"][5] is None


def test_two_workers_at_once_agree(store, pictures, llava):
    with ThreadPoolExecutor(2) as pool:
        for worker in [pool.submit(ask, store, pictures, llava) for _ in range(2)]:
            worker.result()
    assert table(store)["scores"].null_count() == 4
    problems = [p for p in verify(Store.open(store).files) if p.state != "leftover"]
    assert problems == []


def test_patches_come_from_the_same_look_or_later_without_a_question(
    store, pictures, llava, monkeypatch
):
    looks: list[int] = []
    real = LlavaModel._look

    def counted(self, tiles, layers):
        looks.append(len(tiles))
        return real(self, tiles, layers)

    monkeypatch.setattr(LlavaModel, "_look", counted)
    ask(store, pictures, llava, patches=("1",))
    assert sum(looks) == 20  # each picture that can be read, once, for answers and patches
    before = table(store)
    report = ask(store, pictures, llava, patches=("1", "last"))
    assert (sum(looks), report.n_images) == (40, 22)
    assert table(store).equals(before)
    opened = Store.open(store)
    assert opened.patch_layers("llava", "pets") == [1, 2]
    model = load_answering(f"llava:{llava}")
    model.to(torch.device("cpu"), torch.float32)
    path = opened.samples("pets")["path"][3]
    tiles = model.prepare(decode((pictures / path).read_bytes()))
    expected = model.answer([tiles], [[]], layers=[1, 2]).patches
    for layer, wanted in zip((1, 2), expected, strict=True):
        stored = opened.patches("llava", "pets", layer)
        assert (stored.shape, stored.dtype) == ((22, 4, 4, 32), np.float16)
        np.testing.assert_allclose(stored[3], wanted[0].numpy(), atol=2e-2)
        assert np.isnan(stored[failed_rows(store)]).all()
    manifest = summary(opened).filter(pl.col("model") == "llava")
    assert set(manifest["head"]) == {"two-options", "patches/1", "patches/2"}
    with pytest.raises(EmbedStoreError, match=r"layer 9 is not there: this model has 3"):
        ask(store, pictures, llava, patches=("9",))


def test_letters_and_distractors_and_greedy_texts(store, pictures, llava, monkeypatch):
    nonsense = "embedstore.encode.answers.questions.GREEDY_TOKENS"  # a few words of it are enough
    monkeypatch.setattr(nonsense, 4)
    ask(store, pictures, llava, "letters-4")
    letters = table(store, "letters-4")
    assert letters.height == 22
    kept = letters.drop_nulls("scores")
    assert kept["option_classes"].to_list() == [[0, 1, 2, 3]] * 20
    assert set(kept["answer"]) <= set("ABCD")
    ask(store, pictures, llava, "n-way-3", decoding="greedy")
    greedy = table(store, "n-way-3-greedy").drop_nulls("scores")
    assert greedy.height == 40
    assert greedy["text"].null_count() == 0
    assert greedy["scores"].list.len().unique().to_list() == [3]
    opened = Store.open(store)
    asker = Asker(find_protocol("n-way-3"), opened.dataset("pets").class_names, "pets")
    for row in greedy.iter_rows(named=True):
        sample = opened.samples("pets").row(row["sample_index"], named=True)
        asked = asker.ask(sample["sample_id"], sample["label"])[row["order"]]
        place = asked.place(row["text"])
        assert row["option_classes"] == list(asked.classes)
        assert row["prediction"] == (None if place is None else asked.classes[place])
    outcomes = opened.outcomes("llava", heads="n-way-3-greedy").collect()
    # random weights name no class: an answer, and a wrong one
    assert greedy["prediction"].null_count() == 40
    assert outcomes["correct"].value_counts().sort("correct").rows() == [(None, 2), (False, 20)]
    shown = {r.head for r in opened.outcome_runs("llava")}
    assert shown == {"letters-4", "n-way-3-greedy"}
    manifest = answers_manifest(opened.files, "llava", "pets", "letters-4")
    assert manifest.facts["prompt"] == "USER: <image>\n{question} ASSISTANT:"
    assert manifest.facts["protocol"]["question"].startswith("Which option best describes")


def test_a_decoded_text_decides_where_it_was_asked_for(store, pictures, llava, monkeypatch):
    """A model that always says `dog`: right on dogs, and on nothing else."""
    real = LlavaModel.answer

    def says_dog(self, tiles, questions, **keywords):
        said = real(self, tiles, questions, **keywords | {"max_tokens": 0})
        said.texts[:] = [["a dog" for _ in of] for of in questions]
        return said

    monkeypatch.setattr(LlavaModel, "answer", says_dog)
    ask(store, pictures, llava, decoding="greedy")
    opened = Store.open(store)
    answers = table(store, "two-options-greedy").drop_nulls("scores")
    dog = opened.dataset("pets").class_names.index("dog")
    offered = answers["option_classes"].list.contains(dog)
    assert 0 < offered.sum() < answers.height
    assert (answers["prediction"].is_not_null() == offered).all()
    assert set(answers["answer"].drop_nulls()) == {"dog"}
    outcomes = opened.outcomes("llava", samples=True).collect().drop_nulls("correct")
    assert (outcomes["correct"] == (outcomes["label"] == dog)).all()


def test_verify_finds_lost_answers_and_they_are_asked_again(answered, pictures, llava):
    opened, before = Store.open(answered), table(answered)
    file = answered / "models/llava/answers/pets/two-options/table.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    problems = verify(opened.files)
    assert [(p.file, p.state) for p in problems] == [(str(file.relative_to(answered)), "damaged")]
    repair(opened.files, problems)
    report = ask(answered, pictures, llava)
    assert report.n_images == 22
    assert table(answered).equals(before)
    assert verify(opened.files) == []


def test_answers_are_copied_and_removed_with_their_data_set(asked_once, tmp_path):
    target = Store.open(tmp_path / "target", create=True)
    copy(Store.open(asked_once), target, models="llava")
    assert target.answers("llava", "pets", "two-options").equals(table(asked_once))
    assert verify(target.files) == []
    remove(target, Selection("llava", "pets"))
    assert target.files.folders("models/llava/answers") == []


def test_other_questions_under_the_same_name_are_refused(answered, pictures, llava):
    opened = Store.open(answered)
    from embedstore.heads.head import Head
    from embedstore.heads.stored import save_head

    head = load_head(opened, "toy", "own")
    turned = Head(head.class_ids, -np.asarray(head.weights), head.bias, head.scale, head.normalize)
    save_head(opened, "toy", "turned", turned)
    with pytest.raises(
        IdentityError,
        match=r"two-options' on pets with another reference head.*"
        r"embedstore rm \S+ --model llava --data pets --protocol two-options$",
    ):
        ask(answered, pictures, llava, reference="toy@turned")
    other = save_random_llava(answered.parent / "other", "llava_next", seed=5)
    with pytest.raises(IdentityError, match="weights"):
        ask(answered, pictures, other)


def test_weights_that_overflow_are_an_error_that_names_the_row(store, pictures, llava, monkeypatch):
    real = LlavaModel.answer

    def overflows(self, tiles, questions, **keywords):
        said = real(self, tiles, questions, **keywords)
        said.likelihoods[0][0].sums[0] = np.nan
        return said

    monkeypatch.setattr(LlavaModel, "answer", overflows)
    with pytest.raises(NonFiniteError, match=r"row 0 \(bird/000.jpg\).*--precision bfloat16"):
        ask(store, pictures, llava)


def test_a_run_begun_elsewhere_must_score_the_same(store, pictures, llava, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        ask(store, pictures, llava, progress=Heard(3))
    elsewhere = {"torch": "0.1"}
    monkeypatch.setattr("embedstore.encode.loading.provenance", lambda *_: elsewhere)
    heard = Heard(3)
    with pytest.raises(KeyboardInterrupt):
        ask(store, pictures, llava, progress=heard)
    assert any("4 samples, asked about again, agree" in n for n in heard.notices)
    real = LlavaModel.answer

    def shifted(self, tiles, questions, **keywords):
        said = real(self, tiles, questions, **keywords)
        for likely in said.likelihoods[0]:
            likely.sums[:] += 1
        return said

    monkeypatch.setattr(LlavaModel, "answer", shifted)
    monkeypatch.setattr("embedstore.encode.loading.provenance", lambda *_: {"torch": "0.2"})
    with pytest.raises(IdentityError, match=r"does not score the same here \(by .* nats a token"):
        ask(store, pictures, llava)


def test_ties_of_the_reference_go_to_the_lower_class(store, pictures, llava):
    from embedstore.heads.head import Head
    from embedstore.heads.stored import save_head

    opened = Store.open(store)
    head = load_head(opened, "toy", "own")
    nothing = Head(head.class_ids, np.zeros_like(head.weights), None, 1.0, head.normalize)
    save_head(opened, "toy", "nothing", nothing)
    ask(store, pictures, llava, reference="toy@nothing")
    kept = table(store).filter(pl.col("order") == 0).drop_nulls("scores")
    for label, rival in kept["option_classes"].to_list():
        assert rival == (1 if label == 0 else 0)


def test_bad_requests_are_one_line_before_the_model_is_loaded(
    store, pictures, llava, tmp_path, monkeypatch
):
    monkeypatch.setattr("embedstore.models.load_answering", None)
    for reference, message in (
        ("nobody@own", "unknown model of the reference head 'nobody'; choose one of: toy"),
        ("toy@none", "unknown reference head of model 'toy' 'none'; choose one of: own"),
    ):
        with pytest.raises(UnknownNameError, match=message):
            ask(store, pictures, llava, reference=reference)
    with pytest.raises(EmbedStoreError, match="--compile is not for language models"):
        ask(store, pictures, llava, compile=True)
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (40, 40)).save(flat / "a.png")
    with pytest.raises(EmbedStoreError, match="'pets' has no classes to ask about; give it labels"):
        ask(Store.open(tmp_path / "new", create=True).files.root, flat, llava, "n-way-2")


def test_samples_without_a_label_are_one_line(store, llava, tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (40, 40)).save(tmp_path / f"{name}.png")
    lines = "path,label\na.png,cat\nb.png,\n"
    (tmp_path / "list.csv").write_text(lines)
    request = Request(
        models=[("llava", f"llava:{llava}")],
        data=[("pets2", open_source(f"csv:{tmp_path / 'list.csv'}"))],
        prompts=[],
        questions=Questions.of("n-way-2", None, "likelihood"),
    )
    with pytest.raises(
        EmbedStoreError, match=r"sample 'b' .* has no label, one of 1|has 1 classes"
    ):
        encode(Store.open(store), request)


def invoke(*arguments: object):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_command_asks_and_estimates_and_refuses(store, pictures, llava, environment):
    base = ("encode", store, "--data", f"pets=folder:{pictures}", "--device", "cpu")
    model = ("--model", f"llava=llava:{llava}")
    two = ("--protocol", "two-options", "--reference-head", REFERENCE)
    shown = invoke(*base, *model, *two, "--dry-run", "--format", "json", "--batch-size", "4")
    assert shown.exit_code == 0, shown.stderr
    row = pl.read_json(shown.stdout.encode()).row(0, named=True)
    assert (row["n_images"], row["n_done"], row["n_texts"]) == (22, 0, 0)
    assert row["images_per_second"] > 0
    assert row["hours"] > 0
    assert not (store / "models/llava").exists()
    done = invoke(*base, *model, *two, "--strict")
    assert done.exit_code == 3, done.stderr
    *_, counted, why, following = done.stderr.splitlines()
    assert counted == "llava on pets: 22 pictures, 2 could not be used"
    assert why.startswith(("1 of them, such as ", "2 of them, such as "))
    assert following == f"next: embedstore analyze interaction {store}"
    row = pl.read_json(
        invoke(*base, *model, *two, "--dry-run", "--format", "json").stdout.encode()
    ).row(0, named=True)
    assert (row["n_done"], row["hours"], row["n_bytes"]) == (22, 0, 0)
    for arguments, message in (
        (model, "answers questions; say which with --protocol two-options"),
        ((*model, "--protocol", "two-options"), "needs a reference head; add --reference-head"),
        (("--model", "timm:resnet18", *two), "asks a language model; add --model llava:"),
        ((*model, *two, "--decode", "gpu"), "--decode gpu is not for language models"),
    ):
        refused = invoke(*base, *arguments)
        assert refused.exit_code == 1
        assert message in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    few = invoke(*base, *model, *two, "--limit", "8")
    assert few.exit_code == 1
    assert few.stderr.endswith("encode them with it first, with the same --limit 8\n")
    refused = invoke(*base, *model, "--reference-head", REFERENCE)
    assert refused.exit_code == 2
    assert "--reference-head and --decoding go with --protocol" in refused.stderr


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_table(asked_once, store, pictures, llava, command):
    def start():
        options = ("--batch-size", "2", "--block-rows", "2", "--protocol", "two-options")
        data = ("--data", f"pets=folder:{pictures}", "--reference-head", REFERENCE)
        model = ("--model", f"llava=llava:{llava}")
        return command("encode", str(store), *model, *data, *options, OMP_NUM_THREADS="1")

    blocks = store / "models/llava/answers/pets/two-options/blocks"
    for n_there in (1, 3, 4, 7):
        process = start()
        while len(list(blocks.glob("*.json"))) < n_there:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = start()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    same = ["scores", "scores_per_token"]
    assert table(store).drop(same).equals(table(asked_once).drop(same))
    for column in same:  # batches of two add up otherwise in the last bits
        ours, theirs = (
            table(s)[column].drop_nulls().explode().to_numpy() for s in (store, asked_once)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
