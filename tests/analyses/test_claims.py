"""Claims: published figures, real decisions, and planted truths that must be found, and refuted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from embedstore import Store, analysis
from embedstore.claims.recipes import CLAIMS
from embedstore.claims.subjects import TEN
from embedstore.errors import EmbedStoreError
from embedstore.heads.splits import hashed
from embedstore.importers.answers import import_answers
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.labels import Judgement, Labels, label_space
from embedstore.published import results
from embedstore.stats.effective_robustness import baseline_line
from embedstore.stats.multiple import benjamini_hochberg
from embedstore.store.contents import ModelRecord, save_model
from embedstore.testing.simulate import (
    DATASET,
    Design,
    add_cue_conflict,
    add_shift,
    simulate_store,
)
from embedstore.testing.simulate.outcomes import outcome_table, save_run
from embedstore.testing.simulate.samples import add_samples, numbered

ENCODER = "open_clip:ViT-L-14-336-quickgelu/openai"
TUNED = "vit_large_patch14_clip_{}.openai_ft_in12k_in1k"
GROUPS = {"zero-shot": 8, "clip-ft": 6, "imagenet": 20}
QUICK = {"n_resamples": 400}


def by_claim(table: pl.DataFrame, source: str = "store") -> dict[str, dict]:
    rows = table.filter(pl.col("source").str.starts_with(source))
    return rows.rows_by_key("claim", named=True, unique=True)


def in_store(store: Store, section: str, **options: object) -> dict[str, dict]:
    options = QUICK | {"id_dataset": DATASET} | options
    return by_claim(analysis.run("claims", store, section=section, source="store", **options))


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> pl.DataFrame:
    store = Store.open(tmp_path_factory.mktemp("empty") / "s", create=True)
    return analysis.run("claims", store)


def test_every_claim_has_a_name_and_each_row_a_recipe(published):
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)
    assert published.filter(source="store")["claim"].to_list() == names
    assert not published.select(pl.struct("claim", "source").is_duplicated().any()).item()
    for column in ("statement", "recipe", "evidence", "verdict", "section"):
        assert published[column].null_count() == 0
    assert published["recipe"].str.contains("holds if").all()
    assert not published["recipe"].str.contains("{id}", literal=True).any()


def test_an_empty_store_decides_nothing(published):
    own = published.filter(source="store")
    assert set(own["verdict"]) == {"not enough models"}
    assert own["note"].null_count() == 0
    assert own["value"].null_count() == own.height


def test_q_values_are_of_all_rows_with_a_test(published):
    tested = published.drop_nulls("p_value")
    assert tested.height > 3
    assert published.drop_nulls("q_value").height == tested.height
    assert tested["q_value"].to_list() == benjamini_hochberg(tested["p_value"]).tolist()


def test_factors_of_the_testbed(published, tmp_path):
    """The residuals are those that the analysis `residuals` finds, one factor at a time."""
    store = Store.open(tmp_path / "s", create=True)
    means = {}
    for factor in TEN:
        found = analysis.run(
            "residuals", store, x="factors.overall_accuracy", y=f"factors.accuracy?factor={factor}",
            published="imagenet-testbed", fit="baseline", others=True,
        )  # fmt: skip
        assert found["n_fit"][0] == 333
        clip = found.filter(group="zero-shot").rows_by_key("model", named=True, unique=True)
        above = clip["resnet50_clip_zeroshot"]["residual"] > 0
        below = factor in ("pose", "pattern", "shape", "partial_view")
        assert above != below
        means[factor] = np.mean([row["residual"] for row in clip.values()])
    rows = by_claim(published, "published")
    count = rows["clip-above-baselines-in-six-factors"]
    assert count["value"] == 6 == sum(mean > 0 for mean in means.values())
    for factor, mean in means.items():
        assert f"{factor} {mean:+.4f}" in count["evidence"]
    for factor in ("pose", "partial-view"):
        row = rows[f"clip-below-baselines-in-{factor}"]
        assert row["value"] == pytest.approx(means[factor.replace("-", "_")], abs=1e-12)
        assert row["value"] < 0
        assert (row["verdict"], row["n_models"]) == ("not enough models", 335)
        assert "fewer than 5" in row["note"]


@pytest.mark.parametrize(("claim", "spearman"), [("image", 0.93360701), ("text", 0.96361342)])
def test_retrieval_follows_classification(published, claim, spearman):
    row = by_claim(published, "published")[f"{claim}-retrieval-follows-classification-coco"]
    assert row["value"] == pytest.approx(spearman, abs=1e-8)
    assert 0 < row["low"] < spearman < row["high"] < 1
    assert (row["verdict"], row["n_models"], row["source"]) == ("holds", 121, "published open_clip")


def of_group(source: str, group: str, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """ID accuracy and accuracy under the shift, read from the table itself."""
    rows = results(source).filter(
        pl.col("space").is_null(), group=group, analysis="accuracy", column="top1_accuracy"
    )
    wide = (
        rows.filter(pl.col("dataset").is_in(["imagenet-val", dataset]))
        .pivot("dataset", index="model", values="value")
        .drop_nulls()
    )
    return wide["imagenet-val"].to_numpy(), wide[dataset].to_numpy()


@pytest.mark.parametrize("dataset", ["imagenet-r", "imagenet-sketch"])
def test_effective_robustness_of_published_models(published, dataset):
    line = baseline_line(*of_group("timm", "imagenet", dataset))
    zero_shot = line.effective_robustness(*of_group("open_clip", "zero-shot", dataset))
    tuned = line.effective_robustness(*of_group("timm", "clip-ft", dataset))
    assert len(zero_shot) == 99
    rows = by_claim(published, "published")
    above = rows[f"zero-shot-above-imagenet-line-{dataset}"]
    assert above["value"] == pytest.approx(zero_shot.mean(), abs=1e-9)
    assert above["low"] < above["value"] < above["high"]
    assert (above["verdict"], above["low"] > 0) == ("holds", True)
    lowered = rows[f"fine-tuning-lowers-robustness-{dataset}"]
    assert lowered["value"] == pytest.approx(tuned.mean() - zero_shot.mean(), abs=1e-9)
    assert (lowered["verdict"], lowered["high"] < 0) == ("holds", True)


def test_higher_resolutions_of_timm(published):
    row = by_claim(published, "published")["higher-resolution-raises-imagenet-accuracy"]
    assert row["verdict"] == "holds"
    rows = results("timm").filter(dataset="imagenet-val", column="top1_accuracy", group="clip-ft")
    known = dict(rows.filter(pl.col("space").is_null()).select("model", "value").iter_rows())
    assert known[TUNED.format(336)] > known[TUNED.format(224)]


@pytest.fixture(scope="module")
def real(tmp_path_factory, shared_data) -> Store:
    """Decisions of CLIP, the same fine-tuned at two resolutions, and LLaVA, on 1,280 pictures."""
    store = Store.open(tmp_path_factory.mktemp("real") / "s", create=True)
    folder, name = shared_data / "cue-conflict-decisions", "cue-conflict"
    import_samples(store, read_table(folder / "subject-03.csv"), name, layout=name)
    files = {"clip": ("clip-ViT-L-14-336-openai", ENCODER, "names-16")}
    for side in (224, 336):
        file = TUNED.format(side)
        files[f"tuned-{side}"] = (file, f"timm:{file}", "imagenet-1000")
    for model, (file, spec, protocol) in files.items():
        target = Target(model, name, spec=spec, protocol=protocol)
        table = read_table(folder / f"{file}.csv")
        import_predictions(store, table, target, layout_name="vlm-shapebias")
    answers = read_table(shared_data / "lmm-answers" / "llava-1.5-7b-cue-conflict.csv")
    target = Target("llava", name, spec="llava:llava-hf/llava-1.5-7b-hf", protocol="letters-16")
    import_answers(store, answers, target, layout_name="vlm-shapebias")
    return store


def test_one_pair_of_resolutions_decides_nothing(real):
    rows = in_store(real, "shape-bias", id_dataset="cue-conflict")
    row = rows["higher-resolution-lowers-shape-bias"]
    assert row["verdict"] == "not enough models"
    assert row["value"] == pytest.approx(0.3877 - 0.4532, abs=1e-4)
    assert "tuned-224 0.4532, tuned-336 0.3877" in row["evidence"]
    assert (row["n_models"], row["low"]) == (2, None)
    assert "1 model or pair, fewer than 5" in row["note"]


def test_models_of_different_protocols_are_not_compared(real):
    row = in_store(real, "shape-bias", id_dataset="cue-conflict")["fine-tuning-lowers-shape-bias"]
    assert (row["verdict"], row["value"]) == ("not enough models", None)
    assert "protocols differ" in row["note"]


def test_llava_against_its_clip(real):
    """Naive: classes sorted by CLIP's accuracy on the other half, samples counted one by one."""

    samples = real.samples("cue-conflict")
    llava, clip = (real.outcomes(m).collect()["correct"].to_list() for m in ("llava", "clip"))
    half = hashed(samples["sample_id"].to_list(), 0, "hard classes") < 0.5
    labels, right = samples["label"].to_numpy(), np.array(clip)
    alone = [0, 0]
    for side in (False, True):
        other = {c: right[(half != side) & (labels == c)].mean() for c in set(labels)}
        hard = {c for c in other if other[c] <= sorted(other.values())[3]}
        rows = [i for i in np.flatnonzero(half == side) if labels[i] in hard]
        alone[0] += sum(llava[i] and not clip[i] for i in rows)
        alone[1] += sum(clip[i] and not llava[i] for i in rows)
    row = in_store(real, "language", id_dataset="cue-conflict")[
        "llava-beats-its-encoder-on-hard-classes"
    ]
    assert f"llava alone is right on {alone[0]}, clip alone on {alone[1]}" in row["evidence"]
    assert row["p_value"] == pytest.approx(binomtest(alone[0], sum(alone)).pvalue)
    assert row["verdict"] == "not enough models"
    assert "protocols differ: letters-16 and names-16" in row["note"]


@pytest.mark.parametrize(
    ("gain", "loss", "verdicts"),
    [(0.1, 0.08, ("holds", "holds")), (-0.1, -0.08, ("does not hold", "does not hold"))],
)
def test_planted_effective_robustness(tmp_path, gain, loss, verdicts):
    simulation = simulate_store(tmp_path / "s", groups=GROUPS, n_samples=3_000)
    robustness = {"zero-shot": gain, "clip-ft": gain - loss}
    add_shift(simulation, "imagenet-r", intercept=-0.4, robustness=robustness, n_samples=3_000)
    rows = in_store(simulation.store, "robustness")
    above = rows["zero-shot-above-imagenet-line-imagenet-r"]
    lowered = rows["fine-tuning-lowers-robustness-imagenet-r"]
    assert (above["verdict"], lowered["verdict"]) == verdicts
    assert above["low"] < gain < above["high"]
    assert above["value"] == pytest.approx(gain, abs=0.02)
    assert lowered["value"] == pytest.approx(-loss, abs=0.02)
    assert "in distribution is 'simulated', not ImageNet" in above["note"]
    few = in_store(simulation.store, "robustness", min_models=9)
    assert few["zero-shot-above-imagenet-line-imagenet-r"]["verdict"] == "not enough models"
    assert few["zero-shot-above-imagenet-line-imagenet-r"]["value"] == above["value"]
    assert rows["zero-shot-above-imagenet-line-objectnet"]["verdict"] == "not enough models"


@pytest.fixture(scope="module", params=[True, False], ids=["as-claimed", "sign-turned"])
def biased(request, tmp_path_factory) -> tuple[bool, dict[str, dict]]:
    """All CLIPs of the zoo, more shape-biased than baselines and than fine-tuned, or less."""
    groups = {"zero-shot": 125, "clip-ft": 45, "imagenet": 20}
    path: Path = tmp_path_factory.mktemp("biased") / "s"
    simulation = simulate_store(path, groups=groups, n_samples=50, n_factors=0)
    sign = 1 if request.param else -1
    planted = {"zero-shot": 0.5 + 0.1 * sign, "clip-ft": 0.5, "imagenet": 0.5 - 0.1 * sign}
    bias = [planted[group] for group in simulation.groups]
    add_cue_conflict(simulation, shape_bias=bias, protocol="imagenet-1000")
    return request.param, in_store(simulation.store, "shape-bias")


def test_planted_shape_bias(biased):
    as_claimed, rows = biased
    sign, verdict = (1, "holds") if as_claimed else (-1, "does not hold")
    assert rows["vit-clip-more-shape-biased"]["verdict"] == verdict
    assert rows["vit-clip-more-shape-biased"]["value"] == pytest.approx(0.2 * sign, abs=0.02)
    lowered = rows["fine-tuning-lowers-shape-bias"]
    assert lowered["verdict"] == verdict
    assert lowered["value"] == pytest.approx(-0.1 * sign, abs=0.02)
    assert lowered["p_value"] < 0.01
    resnets = rows["resnet-clip-not-more-shape-biased"]
    assert resnets["verdict"] == ("does not hold" if as_claimed else "holds")
    assert rows["higher-resolution-lowers-shape-bias"]["verdict"] == "does not hold"
    assert rows["contrastive-tuning-keeps-shape-bias"]["verdict"] == "not enough models"


@pytest.mark.parametrize(("effect", "verdict"), [(0.4, "holds"), (0.0, "does not hold")])
def test_a_planted_source_drives_calibration(tmp_path, effect, verdict):
    effects = {
        "architecture": {"RN": 0.0, "ViT": 0.3},
        "training_distribution": {"WIT": 0.0, "LAION-2B": effect},
        "training_samples": {10_000_000: 0.0, 1_000_000_000: 0.0},
        "fine_tuning": {"none": 0.0},
        "loss": {"softmax": 0.0},
        "prompts": {"openai-80": 0.0},
        "n_parameters": {86_000_000: 0.0},
        "resolution": {224: 0.0},
    }
    design = Design(effects, noise=0.02)
    simulation = simulate_store(
        tmp_path / "s", n_models=30, n_samples=4_000, design=design, sharpness=3.0, seed=2
    )
    rows = in_store(simulation.store, "calibration")
    assert rows["training-source-drives-calibration"]["verdict"] == verdict
    assert rows["training-quantity-drives-calibration"]["verdict"] == "does not hold"


def languages(path: Path, hard: float, easy: float, n_models: int) -> Store:
    """An encoder right on .3 of five classes and .9 of five others, and models on top of it."""
    store, random = Store.open(path, create=True), np.random.default_rng(4)
    classes = tuple(f"class-{i}" for i in range(10))
    labels = np.repeat(np.arange(10), 300)
    dataset = add_samples(store, "pictures", numbered(labels), labels, classes)
    space = Judgement(label_space(classes, classes, "pictures"), Labels(labels))
    sizes = ("1.5-13b-hf", "1.5-7b-hf", "v1.6-34b-hf", "v1.6-mistral-7b-hf", "v1.6-vicuna-7b-hf")
    specs = {"clip": ENCODER}
    specs |= {f"llava-{i}": f"llava:llava-hf/llava-{s}" for i, s in enumerate(sizes[:n_models])}
    for model, spec in specs.items():
        save_model(store.files, ModelRecord(model, spec, {"weights": model}, 0, False, True, {}))
        share = np.where(labels < 5, 0.3, 0.9)
        if model != "clip":
            share = share + np.where(labels < 5, hard, easy)
        right = random.random(len(labels)) < share
        said = np.where(right, labels, (labels + 1) % 10)
        save_run(
            store, model, dataset, space, outcome_table({"prediction": said, "correct": right})
        )
    return store


@pytest.mark.parametrize(
    ("hard", "easy", "n_models", "verdicts"),
    [
        (0.3, -0.1, 5, ("holds", "holds")),
        (-0.2, 0.08, 5, ("does not hold", "does not hold")),
        (0.3, -0.1, 4, ("not enough models", "not enough models")),
    ],
)
def test_planted_hard_classes(tmp_path, hard, easy, n_models, verdicts):
    rows = in_store(
        languages(tmp_path / "s", hard, easy, n_models), "language", id_dataset="pictures"
    )
    on_hard = rows["llava-beats-its-encoder-on-hard-classes"]
    on_easy = rows["llava-does-not-beat-its-encoder-on-easy-classes"]
    assert (on_hard["verdict"], on_easy["verdict"]) == verdicts
    assert on_hard["value"] == pytest.approx(hard, abs=0.05)
    assert on_easy["value"] == pytest.approx(easy, abs=0.05)
    assert max(on_hard["p_value"], on_easy["p_value"]) < 0.01


def test_several_data_sets_that_could_be_in_distribution_are_noted(tmp_path):
    simulation = simulate_store(tmp_path / "s", groups={"zero-shot": 2}, n_samples=50)
    add_shift(simulation, "other", n_samples=50)
    row = in_store(simulation.store, "calibration", id_dataset="auto")[
        "clip-not-always-better-calibrated"
    ]
    assert row["verdict"] == "not enough models"
    assert "name it with --id-dataset" in row["note"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"section": "texture"}, "unknown section of claims 'texture'; choose one of: 3d"),
        ({"source": "paper"}, "unknown source of claims 'paper'; choose one of: any"),
        ({"id_dataset": "imagenot"}, "unknown in-distribution data set 'imagenot'"),
        ({"min_models": 1}, "min_models is 1; give 2 or more"),
    ],
)
def test_what_cannot_be_asked(tmp_path, options, message):
    store = Store.open(tmp_path / "s", create=True)
    with pytest.raises(EmbedStoreError, match=message):
        analysis.run("claims", store, **options)
