"""Real decisions on the 1,280 cue-conflict pictures, of both layouts, and published counts."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import Store
from embedstore.importers.answers import import_answers
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table

#: Name -> file, layout, protocol.
FILES = {
    **{
        m: (m, "model-vs-human", "imagenet-1000")
        for m in ("resnet50", "resnet152", "vgg", "alexnet")
    },
    **{f"subject-0{i}": (f"subject-0{i}", "model-vs-human", "human") for i in range(1, 6)},
    "clip": ("clip-ViT-L-14-336-openai", "vlm-shapebias", "names-16"),
    "ft-224": ("vit_large_patch14_clip_224.openai_ft_in12k_in1k", "vlm-shapebias", "imagenet-1000"),
    "ft-336": ("vit_large_patch14_clip_336.openai_ft_in12k_in1k", "vlm-shapebias", "imagenet-1000"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory, shared_data) -> Store:
    store = Store.open(tmp_path_factory.mktemp("cue") / "s", create=True)
    folder = shared_data / "cue-conflict-decisions"
    import_samples(
        store, read_table(folder / "subject-03.csv"), "cue-conflict", layout="cue-conflict"
    )
    for model, (file, layout, protocol) in FILES.items():
        target = Target(model, "cue-conflict", protocol=protocol)
        import_predictions(store, read_table(folder / f"{file}.csv"), target, layout_name=layout)
    answers = read_table(shared_data / "lmm-answers" / "llava-1.5-7b-cue-conflict.csv")
    target = Target("llava", "cue-conflict", protocol="letters-16")
    import_answers(store, answers, target, layout_name="vlm-shapebias")
    return store


@pytest.fixture(scope="module")
def decisions(store) -> dict[str, tuple[int, int]]:
    """Model -> decisions for the shape and for the texture, of the 1,200 with conflict."""
    (class_ids,) = {tuple(store.space(run)["class_ids"]) for run in store.outcome_runs()}
    names = pl.Series(class_ids, dtype=pl.String)
    frame = store.outcomes(samples=True).filter(pl.col("shape") != pl.col("texture")).collect()
    said = names.gather(frame["prediction"])
    counts = (
        frame.with_columns(for_shape=said == frame["shape"], for_texture=said == frame["texture"])
        .group_by("model")
        .agg(pl.len(), pl.col("for_shape", "for_texture").sum())
    )
    assert counts["len"].unique().to_list() == [1200]
    return {model: (s, t) for model, _, s, t in counts.iter_rows()}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("resnet50", (162, 572)),
        ("resnet152", (196, 569)),
        ("vgg", (130, 625)),
        ("alexnet", (283, 376)),
        ("clip", (601, 404)),
        ("llava", (595, 374)),
    ],
)
def test_decisions_for_shape_and_texture(decisions, model, expected):
    assert decisions[model] == expected


def test_shape_bias_of_people_and_of_two_resolutions(decisions):
    bias = {model: s / (s + t) for model, (s, t) in decisions.items()}
    people = sorted(bias[f"subject-0{i}"] for i in range(1, 6))
    assert people[0] == pytest.approx(0.9191, abs=5e-5)
    assert people[-1] == pytest.approx(0.9673, abs=5e-5)
    assert bias["ft-224"] == pytest.approx(0.4532, abs=5e-5)
    assert bias["ft-336"] == pytest.approx(0.3877, abs=5e-5)


def test_the_data_set_is_that_of_the_folders(store):
    samples = store.samples("cue-conflict")
    assert samples.height == 1280
    assert samples["sample_id"].to_list() == sorted(
        samples["sample_id"], key=lambda i: (i.partition("/")[0], f"{i}.png")
    )
    assert (samples["shape"] == samples["texture"]).sum() == 80
    assert len(store.dataset("cue-conflict").class_ids) == 16


def test_an_answer_of_no_class_counts_as_wrong(store):
    people = store.outcomes("subject-01").collect()
    assert people.filter(pl.col("prediction").is_null())["correct"].to_list() == [False] * 27


def test_protocols_are_kept_apart(store):
    heads = {run.model: run.head for run in store.outcome_runs()}
    assert heads == {m: protocol for m, (_, _, protocol) in FILES.items()} | {"llava": "letters-16"}


def test_llavas_answers_against_its_clip(store):
    answers = store.answers("llava", "cue-conflict", "letters-16")
    assert set(answers["answer"]) == set("ABCDEFGHIJKLMNOP")
    one_class = answers.group_by("answer").agg(pl.col("prediction").n_unique())
    assert one_class["prediction"].to_list() == [1] * 16
    right = store.outcomes("llava").collect()["correct"]
    clip = store.outcomes("clip").collect()["correct"]
    both, alone, other = (right & clip).sum(), (right & ~clip).sum(), (~right & clip).sum()
    assert (both, alone, other) == (588, 81, 88)
    assert (
        answers["prediction"].to_list() == store.outcomes("llava").collect()["prediction"].to_list()
    )
