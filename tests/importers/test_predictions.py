"""Predictions of others as outcomes of a store."""

from __future__ import annotations

import pytest

from embedstore import analysis
from embedstore.errors import DatasetError, IdentityError, UnknownNameError
from embedstore.importers.decisions import Columns
from embedstore.importers.models import imported_model
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store

ROWS = "image,prediction,confidence\n4.jpg,Red Fox,1.0005\n3.png,cat,0.5\n1.jpg,0,0.25\n"
ROWS = ROWS.replace("1.jpg,0", "1.jpg,cat")


def bring(store, path, head="", **options):
    target = Target("m", "pets", head, **options.pop("target", {}))
    return import_predictions(store, read_table(path), target, **options)


def outcomes(store, **where):
    return store.outcomes(samples=True).collect().filter(**where)


def test_predictions_are_joined_by_id(store, write):
    report = bring(store, write("p.csv", ROWS))
    found = outcomes(store)
    assert found["sample_id"].to_list() == ["cat/1", "cat/2", "dog/3", "red_fox/4"]
    assert found["prediction"].to_list() == [0, None, 0, 2]
    assert found["correct"].to_list() == [True, None, False, True]
    assert found["label_rank"].to_list() == [0, None, None, 0]
    assert found["confidence"].to_list() == [0.25, None, 0.5, 1.0]
    assert found["head"].unique().to_list() == ["imported"]
    assert report.what == "m on pets, head 'imported': 3 predictions"
    assert "1 (cat/2) samples of pets are not in p.csv: null" in report.notices


def test_what_cannot_be_computed_is_null_with_the_reason(store, write):
    report = bring(store, write("p.csv", ROWS))
    manifest = read_manifest(store.files, OutcomeRun("m", "pets", "imported", "all").folder)
    nulls = manifest.facts["nulls"]
    found = outcomes(store)
    for column in ("max_logit", "energy", "entropy", "margin", "nll", "brier"):
        assert found[column].null_count() == found.height
        assert nulls[column] == "no logits were imported"
    assert any(n.startswith("null: max_logit") and "no logits" in n for n in report.notices)
    assert manifest.facts["inputs"]["file"] == read_table(store.files.root.parent / "p.csv").digest
    assert manifest.facts["provenance"]["kind"] == "imported"
    accuracy = analysis.run("accuracy", store).row(0, named=True)
    assert accuracy["top1_accuracy"] == pytest.approx(2 / 3)
    assert accuracy["top5_accuracy"] is None
    assert (accuracy["n_samples"], accuracy["n_left_out"]) == (3, 1)


def test_the_same_again_is_found_and_others_are_refused(store, write):
    path = write("p.csv", ROWS)
    assert not bring(store, path).already
    before = {f: f.read_bytes() for f in store.files.root.rglob("*") if f.is_file()}
    assert bring(store, path).already
    assert {f: f.read_bytes() for f in store.files.root.rglob("*") if f.is_file()} == before
    other = write("q.csv", ROWS.replace("0.5", "0.75"))
    with pytest.raises(
        IdentityError, match="other outcomes of 'm' .*from p.csv; .*--head, or .* rm"
    ):
        bring(store, other)
    bring(store, other, head="second")
    assert store.outcomes(heads="second").collect()["confidence"][2] == 0.75
    assert not verify(store.files)


def test_an_interrupted_import_goes_on(store, write, monkeypatch):
    path = write("p.csv", ROWS)

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("embedstore.store.manifest.write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            bring(store, path)
    assert outcomes(store).is_empty()
    bring(store, path)
    assert outcomes(store)["correct"].sum() == 2
    assert not verify(store.files)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("1,cat,0.5\n1.jpg,dog,0.5\n", "id '1' stands twice in .*, in rows 1 and 2"),
        ("1,cow,0.5\n", "'cow', of sample '1' in .*, is none of the 3 classes"),
        ("9,cat,0.5\n", "no id of .* is a sample of data set 'pets'"),
        (
            "1,cat,0.5\n3,cat,NaN\n",
            "the confidence of '3' in .* is missing or NaN, one of 1; .*--allow",
        ),
        ("1,cat,\n", "the confidence of '1' in .* is missing or NaN"),
        ("1,cat,1.0011\n", "the confidence of '1' in .* is 1.0011, no probability"),
        ("1,cat,-0.1\n", "is -0.1, no probability"),
        ("1,cat,inf\n", "is inf, no probability"),
        ("1,cat,high\n", "'high' in row 1 of .*, column 'confidence', is no number"),
    ],
)
def test_bad_rows_are_named_and_leave_nothing(store, write, rows, problem):
    path = write("p.csv", f"id,prediction,confidence\n{rows}")
    with pytest.raises(DatasetError, match=problem):
        bring(store, path)
    assert store.models == []


def test_numbers_out_of_range(store, write):
    path = write("p.csv", "id,prediction\n1,0\n2,3\n")
    with pytest.raises(DatasetError, match="'3', of sample '2' .* classes go from 0 to 2"):
        bring(store, path)


def test_unknown_confidences_are_kept_where_that_is_asked_for(store, write):
    path = write("p.csv", "id,prediction,confidence\n1,cat,nan\n2,cat,\n3,dog,0.5\n")
    bring(store, path, allow_missing=True)
    assert outcomes(store)["confidence"].to_list() == [None, None, 0.5, None]
    assert outcomes(store)["correct"].to_list() == [True, True, True, None]


def test_columns_by_any_name(store, write):
    path = write("p.jsonl", '{"key": "1.jpg", "a": 2, "b": 0.5}\n')
    with pytest.raises(DatasetError, match="name one with --id: it has key, a, b"):
        bring(store, path)
    with pytest.raises(DatasetError, match="no column 'c'; name one with --confidence"):
        bring(store, path, columns=Columns("key", "a", "c"))
    report = bring(store, path, columns=Columns("key", "a", "b"))
    assert report.notices[0] == "read id from 'key', prediction from 'a', confidence from 'b'"
    assert outcomes(store)["prediction"].to_list() == [2, None, None, None]


def test_one_name_for_several_data_sets(store, write):
    more = read_table(write("more.csv", "id,label\nx,cat\ny,dog\n"))
    import_samples(store, more, "more")
    bring(store, write("p.csv", ROWS))
    table = read_table(write("q.csv", "id,prediction\ny,dog\nx,dog\n"))
    import_predictions(store, table, Target("m", "more"))
    assert outcomes(store, dataset="more")["correct"].to_list() == [False, True]


def test_a_model_that_was_run_here_is_not_mixed_with_imports(tmp_path, write):
    store = random_store(tmp_path / "s", models=("m",), datasets=("pets",))
    ids = store.samples("pets")["sample_id"]
    path = write("p.csv", f"id,prediction\n{ids[0]},class-1\n")
    with pytest.raises(
        IdentityError, match="model 'm' was run here .python:m.*another name: --model"
    ):
        bring(store, path)


def test_a_known_spec_gives_the_factors(store):
    record = imported_model(store, "mine", spec="open_clip:ViT-B-32/laion2b_s34b_b79k")
    assert record.factors["training_distribution"] == "LAION-2B"
    assert dict(imported_model(store, "resnet50").factors) == {}


def test_a_spec_that_adds_nothing_is_said(store, write):
    path = write("p.csv", ROWS)
    spec = {"target": {"spec": "timm:no-such-model"}}
    assert any(
        "nothing is known of 'timm:no-such-model'" in n for n in bring(store, path, **spec).notices
    )
    again = bring(store, path, "second", target={"spec": "timm:resnet50.a1_in1k"})
    assert any("'m' stays recorded as 'timm:no-such-model'" in n for n in again.notices)


def test_names_are_checked_first(store, write):
    path = write("p.csv", ROWS)
    with pytest.raises(
        DatasetError, match="mean nothing without their protocol; .*--protocol: image"
    ):
        bring(store, path, layout_name="vlm-shapebias")
    with pytest.raises(UnknownNameError, match="unknown protocol 'guess'"):
        bring(store, path, target={"protocol": "guess"})
    with pytest.raises(UnknownNameError, match="unknown layout 'guess'"):
        bring(store, path, layout_name="guess")
    unlabelled = read_table(write("u.csv", "id\na\n"))
    import_samples(store, unlabelled, "plain")
    table = read_table(write("q.csv", "id,prediction\na,1\n"))
    with pytest.raises(DatasetError, match="'plain' has no classes that predictions could name"):
        import_predictions(store, table, Target("m", "plain"))


def test_a_head_with_logits_keeps_its_outcomes(tmp_path, write):
    store = random_store(tmp_path / "s", models=("m",), datasets=("pets",))
    ids = store.samples("pets")["sample_id"]
    path = write("p.csv", f"id,prediction\n{ids[0]},class-1\n")
    with pytest.raises(IdentityError, match="has logits of 'm' on 'pets' under head 'own'"):
        bring(store, path, head="own")


def test_a_file_of_several_subjects_is_several_models(store, write):
    path = write("s.csv", "subj,imagename,object_response\na,1.jpg,cat\nb,3.png,cat\n")
    with pytest.raises(DatasetError, match=r"decisions of 2 subjects \(a, b\); split it"):
        bring(store, path, layout_name="model-vs-human", target={"protocol": "human"})


def test_a_sample_without_a_label_is_of_no_class_in_the_mean(store, write):
    """What is right may come from another column; the mean is over the classes of labels."""
    space = str(write("several.toml", 'name = "several"\nlabels = "right"\n'))
    rows = 'id,label,right\na,cat,"[""cat""]"\nb,,"[""dog""]"\nc,dog,"[""cat""]"\n'
    import_samples(store, read_table(write("l.csv", rows)), "some", spaces=[space])
    said = read_table(write("q.csv", "id,prediction\na,cat\nb,dog\nc,dog\n"))
    import_predictions(store, said, Target("m", "some"))
    frame = analysis.run("accuracy", store, datasets="some").filter(space="several")
    (row,) = frame.rows(named=True)
    assert (row["n_samples"], row["top1_accuracy"]) == (3, pytest.approx(2 / 3))
    assert row["mean_class_accuracy"] == 0.5  # cat: all, dog: none
