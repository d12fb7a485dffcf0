"""Numbers of analyses: which rows belong together, conventions, and what rows lean on."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore.differences.asking import asked
from embedstore.differences.comparing import diff
from embedstore.errors import EmbedStoreError, StoreError, UnknownNameError

PROTOTYPES = [i < 12 for i in range(60)]
POSES = [i % 3 == 0 for i in range(60)]
BACKGROUNDS = [i % 4 == 0 for i in range(60)]


def of(found: pl.DataFrame, analysis: str) -> pl.DataFrame:
    return found.filter(pl.col("what").str.starts_with(f"{analysis}: "))


@pytest.fixture
def mine(tmp_path):
    """Write a user's own analysis: what it returns of a store's root."""

    def written(name: str, body: str, parameters: str = "models: str = '*'") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(
            "import polars as pl\nfrom embedstore.analysis import analysis\n\n"
            f"@analysis\ndef {name}(store, *, {parameters}):\n    {body}\n"
        )
        return str(path)

    return written


def test_an_annotation_moves_the_rows_that_name_it(compared):
    columns = {"pose": POSES, "background": BACKGROUNDS}
    planted = columns | {"pose": [not p for p in POSES]}
    found = of(
        compared({"annotations": planted}, {"annotations": columns}, analyses=["factors"]),
        "factors",
    )
    pose = found.filter(pl.col("where").str.ends_with("factor=pose"))
    assert {"factors: accuracy", "factors: n_samples"} <= set(pose["what"])
    assert set(pose["because"]) == {"annotation pose differs"}
    # of the other factor's row, only the least accuracy of all factors may differ
    rest = found.filter(~pl.col("where").str.ends_with("factor=pose"))
    assert set(rest["what"]) <= {"factors: worst_factor"}


def test_what_is_left_out_is_a_convention(compared):
    columns = {"pose": POSES}
    found = compared(
        {"annotations": columns},
        {"annotations": columns | {"prototype": PROTOTYPES}},
        analyses=["factors"],
    )
    stated = found.filter(pl.col("kind") == "convention")
    assert stated.select("what", "a", "b").rows() == [("factors: excluded", "prototype", None)]
    assert set(of(found, "factors").filter(pl.col("kind") == "number")["because"]) == {
        "annotation prototype differs; also excluded prototype against none"
    }


def test_annotations_are_not_blamed_for_what_a_model_did(compared, recipe):
    identity = recipe.identity | {"precision": "float16"}
    found = compared(
        {"annotations": {"pose": BACKGROUNDS}, "identity": identity, "seed": 5},
        {"annotations": {"pose": POSES}},
        analyses=["calibration"],
    )
    assert set(of(found, "calibration")["because"]) == {"precision float32 against float16"}


def test_rows_of_bins_are_told_apart(compared, recipe):
    identity = recipe.identity | {"precision": "bfloat16"}
    found = compared({"identity": identity, "seed": 5}, analyses=["reliability"])
    places = of(found, "reliability")["where"].unique().to_list()
    assert any(place.endswith("photo--pets / scaled=False / bin=14") for place in places)
    assert any(place.endswith("photo--pets / scaled=True / bin=4") for place in places)


def test_a_temperature_explains_what_it_was_fitted_on(build, recipe):
    """Numbers of one data set lean on another: the labels of the one that fits temperatures."""
    relabelled = tuple((c + 1) % 4 for c in recipe.labels)
    stores = []
    for name, labels in (("a", recipe.labels), ("b", relabelled)):
        build(name, dataset="imagenet", labels=labels)
        stores.append(build(name, dataset="sketch"))
    found = of(diff(*stores, analyses=["calibration"]), "calibration")
    scaled = found.filter(pl.col("where") == "vit / sketch / photo--pets")
    assert {"calibration: temperature", "calibration: ece_scaled"} <= set(scaled["what"])
    assert "calibration: ece" not in set(scaled["what"])
    assert set(scaled["because"]) == {"imagenet: data set fingerprint differs: 60 labels"}


def test_conventions_of_many_rows_are_stated_once(build):
    stores = []
    for name, fitted_on in (("a", "imagenet"), ("b", "imagenet-val")):
        build(name, dataset=fitted_on)
        build(name, dataset="rendition")
        stores.append(build(name, dataset="sketch"))
    found = diff(*stores, analyses=["calibration"])
    stated = found.filter(pl.col("kind") == "convention")
    assert stated.select("where", "what").rows() == [
        ("calibration: 2 rows", "calibration: convention")
    ]
    assert "fitted on half of imagenet " in stated["a"].item()
    assert "fitted on half of imagenet-val " in stated["b"].item()


def test_an_analysis_of_ones_own(compared, mine):
    body = "return pl.DataFrame({'model': ['vit'], 'size': [1.5 + (store.files.root.name == 'b')]})"
    path = mine("own_size", body)
    found = of(compared({"factors": {"loss": "softmax"}}, analyses=[path]), path)
    (row,) = found.to_dicts()
    assert (row["where"], row["a"], row["b"], row["difference"]) == ("vit", "1.5", "2.5", 1.0)
    assert row["because"] == "vit: factor loss none against softmax"  # which it may lean on


def test_a_label_space_that_tells_no_rows_apart_is_a_convention(compared, mine):
    body = (
        "cut = store.files.root.name == 'b'\n"
        "    columns = {'space': ['pets' if cut else 'all'], 'value': [1.0 + cut]}\n"
        "    return pl.DataFrame({'model': ['vit'], **columns})"
    )
    path = mine("own_space", body)
    found = of(compared({"factors": {"loss": "softmax"}}, analyses=[path]), path)
    assert found.select("kind", "where", "a", "b").rows() == [
        ("number", "vit", "1", "2"),
        ("convention", "vit", "all", "pets"),
    ]
    assert found["because"].to_list() == ["space all against pets", None]


def test_words_that_are_no_convention_are_results(compared, mine):
    body = "return pl.DataFrame({'model': ['vit'], 'verdict': [store.files.root.name]})"
    path = mine("own_verdict", body)
    found = of(compared({"seed": 5}, analyses=[path]), path)
    (row,) = found.to_dicts()
    assert (row["kind"], row["a"], row["b"], row["difference"]) == ("number", "a", "b", None)
    assert row["because"] == "unexplained"


def test_rows_of_one_store_alone(compared, mine):
    path = mine(
        "own_groups",
        "names = ['x', 'y'] if store.files.root.name == 'a' else ['y', 'z']\n"
        "    return pl.DataFrame({'group': names, 'value': [1.0, 2.0]})",
    )
    found = compared({"seed": 5}, analyses=[path])
    lone = found.filter(pl.col("kind").str.starts_with("only"))
    assert lone.select("kind", "where", "what").rows() == [
        ("only in A", "group=x", f"row of {path}"),
        ("only in B", "group=z", f"row of {path}"),
    ]
    (row,) = of(found, path).to_dicts()
    assert (row["where"], row["difference"]) == ("group=y", 1.0 - 2.0)


def test_a_number_over_models_names_those_that_one_store_lacks(build, mine):
    a, b = build("a"), build("b")
    build("b", model="other")
    path = mine("own_count", "return pl.DataFrame({'value': [float(len(store.models))]})")
    (row,) = of(diff(a, b, analyses=[path]), path).to_dicts()
    assert row["difference"] == 1.0
    assert row["because"] == "1 run in one store alone, such as other / pets / photo--pets"


def test_rows_that_cannot_be_told_apart(compared, mine):
    path = mine("own_twins", "return pl.DataFrame({'model': ['vit'] * 2, 'value': [1.0, 2.0]})")
    with pytest.raises(EmbedStoreError, match="cannot be told apart by texts and whole numbers; "):
        compared({"seed": 5}, analyses=[path])


def test_parameters_are_given_behind_a_question_mark(compared, mine):
    body = (
        "value = (first + scale * (store.files.root.name == 'b')) if wide else 0.0\n"
        "    return pl.DataFrame({'model': ['vit'], 'value': [value]})"
    )
    path = mine("own_scale", body, "first: int, scale: float = 1.0, wide: bool = False")
    words = f"{path}?first=3&scale=2.5&wide=true"
    (row,) = of(compared({"seed": 5}, analyses=[words]), words).to_dicts()
    assert (row["a"], row["b"]) == ("3", "5.5")


def test_parameters_that_are_wrong(mine):
    path = mine("own_needs", "...", "first: int, scale: float = 1.0, wide: bool = False")
    for words, message in (
        ("", r"needs first; give them as: --analysis '.*own_needs.py\?first=VALUE'"),
        ("?first=x", "first=x is wrong; give a whole number"),
        ("?first=1&wide=1", "wide=1 is wrong; give true or false"),
        ("?first=1&scale=", "scale= is wrong; give a number"),
        ("?n=1", "unknown parameter of analysis .* 'n'; choose one of: first, scale, wide"),
    ):
        with pytest.raises(EmbedStoreError, match=message):
            asked(f"{path}{words}", {})


def test_a_choice_that_is_none(compared):
    with pytest.raises(UnknownNameError, match="unknown binning 'x'; choose one of: equal-mass,"):
        compared({"seed": 5}, analyses=["calibration?binning=x"])


def test_an_analysis_that_fails_names_the_store(compared, tmp_path):
    with pytest.raises(StoreError, match=f"in {tmp_path / 'a'}: "):
        compared({"factors": {"loss": "softmax"}}, analyses=["shape-bias"])


def test_an_unknown_analysis(compared):
    with pytest.raises(UnknownNameError, match="unknown analysis 'calib'; choose one of: accuracy"):
        compared({"factors": {"loss": "softmax"}}, analyses=["calib"])
