"""A language model's answers."""

from __future__ import annotations

import json

import pytest

from embedstore import schema
from embedstore.errors import DatasetError, IdentityError, StoreError, UnknownNameError
from embedstore.importers.answers import import_answers
from embedstore.importers.predictions import Target
from embedstore.importers.tables import read_table
from embedstore.store import Store
from embedstore.store.maintenance import Selection, copy, remove
from embedstore.store.verify import verify

ROWS = [
    {
        "image": "3.png", "pred": "dog", "answer": "B", "raw_text": "B. A dog", "prompt": "Which?",
        "options": ["cat", "dog"], "scores": [-2, -0.5],
    },
    {
        "image": "1.jpg", "pred": None, "answer": None, "raw_text": "Both.", "prompt": "Which?",
        "options": ["dog", "cat"], "scores": [-1, -1],
    },
]  # fmt: skip
TARGET = Target("llava", "pets", protocol="options-2")


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_answers_keep_all_that_the_file_says(store, write):
    report = import_answers(store, read_table(write("a.jsonl", lines(ROWS))), TARGET)
    found = store.answers("llava", "pets", "options-2")
    assert dict(found.schema) == dict(schema.ANSWERS)
    assert found.rows() == [
        (0, 0, "Which?", ["dog", "cat"], [1, 0], [-1.0, -1.0], None, None, None, "Both."),
        (2, 0, "Which?", ["cat", "dog"], [0, 1], [-2.0, -0.5], None, 1, "B", "B. A dog"),
    ]
    outcomes = store.outcomes().collect()
    assert outcomes["prediction"].to_list() == [None, None, 1, None]
    assert outcomes["correct"].to_list() == [None, None, True, None]
    assert outcomes["head"].unique().to_list() == ["options-2"]
    assert "answers: null: order (the file has no such column)" not in report.notices
    assert report.what == "llava on pets, protocol 'options-2': 2 answers"


def test_lists_in_a_csv_are_json_and_lacking_columns_are_null(store, write):
    rows = 'image,pred,response,options\n1.jpg,cat,A,"[""cat"", ""dog""]"\n'
    report = import_answers(store, read_table(write("a.csv", rows)), TARGET)
    found = store.answers("llava", "pets", "options-2")
    assert found.rows() == [(0, 0, None, ["cat", "dog"], [0, 1], None, None, 0, "A", None)]
    lacking = "question, scores, scores_per_token, text (the file has no such column)"
    assert f"answers: null: {lacking}" in report.notices
    wrong = read_table(write("b.csv", "image,pred,scores\n1.jpg,cat,high\n"))
    with pytest.raises(DatasetError, match="holds String where scores are List.Float32.*as JSON"):
        import_answers(store, wrong, Target("other", "pets", protocol="p"))


def test_the_same_again_is_found_and_others_are_refused(store, write):
    path = write("a.jsonl", lines(ROWS))
    assert not import_answers(store, read_table(path), TARGET).already
    assert import_answers(store, read_table(path), TARGET).already
    other = read_table(write("b.jsonl", lines(ROWS[:1])))
    with pytest.raises(IdentityError, match="other answers of 'llava' on 'pets' by .*remove them"):
        import_answers(store, other, TARGET)
    with pytest.raises(
        UnknownNameError, match="unknown answers of .*'x'; choose one of: options-2"
    ):
        store.answers("llava", "pets", "x")
    with pytest.raises(DatasetError, match="need a protocol; name it with --protocol"):
        import_answers(store, other, Target("llava", "pets"))


def test_answers_are_verified_copied_and_removed(store, write, tmp_path):
    import_answers(store, read_table(write("a.jsonl", lines(ROWS))), TARGET)
    target = Store.open(tmp_path / "copy", create=True)
    copy(store, target)
    assert target.answers("llava", "pets", "options-2").equals(
        store.answers("llava", "pets", "options-2")
    )
    assert not verify(target.files)
    table = target.files.path("models/llava/answers/pets/options-2/table.parquet")
    table.write_bytes(b"?")
    assert [p.file for p in verify(target.files)] == [
        "models/llava/answers/pets/options-2/table.parquet"
    ]
    asked_again = Target("llava", "pets", head="other", protocol="n-way-2")
    import_answers(store, read_table(write("c.jsonl", lines(ROWS[:1]))), asked_again)
    with pytest.raises(IdentityError, match="--data pets --protocol n-way-2$"):
        import_answers(store, read_table(write("d.jsonl", lines(ROWS))), asked_again)
    chosen = Selection("llava", "pets", protocol="n-way-2")
    assert remove(store, chosen) == [
        "models/llava/outcomes/pets/other",
        "models/llava/answers/pets/n-way-2",
    ]
    assert [run.head for run in store.outcome_runs("llava")] == ["options-2"]
    with pytest.raises(UnknownNameError, match="'n-way-2'; choose one of: options-2"):
        remove(store, chosen)
    for lacking in (Selection("llava", protocol="p"), Selection(None, "pets", protocol="p")):
        with pytest.raises(StoreError, match="name both with --model and --data"):
            remove(store, lacking)
    remove(store, Selection("llava", "pets"))
    assert not store.files.path("models/llava/answers").exists()
    assert not verify(store.files)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"options": ["Red-Fox", "dog"]}, [2, 1]),
        ({"options": ["A", "B"], "option_classes": [2, 1]}, [2, 1]),
        ({"options": ["A", "B"], "option_classes": ["red fox", "dog"]}, [2, 1]),
        ({"options": ["A", "B"]}, None),
    ],
)
def test_options_are_classes_by_name_or_as_the_file_says(store, write, given, found):
    rows = [{"image": "1.jpg", "pred": "dog", "scores_per_token": [-1, -0.5], **given}]
    report = import_answers(store, read_table(write("a.jsonl", lines(rows))), TARGET)
    answers = store.answers("llava", "pets", "options-2")
    assert answers["option_classes"].to_list() == [found]
    assert answers["scores_per_token"].to_list() == [[-1.0, -0.5]]
    unnamed = "answers: null: option_classes (options name no classes of the data set)"
    assert (unnamed in report.notices) is (found is None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": ["cat", "dog"], "option_classes": [1, 0]},
         "sample 'cat/1' in order 0 of .*a.jsonl lists its options in another order"),
        ({"options": ["cat", "dog"], "scores": [-1]}, "another number of scores than of options"),
        ({"option_classes": ["cat", "cow"]}, "row 1 of .* option_classes that are not all classes"),
        ({"option_classes": [0, 3]}, "offers a class beyond the 3 of 'pets'"),
    ],
)  # fmt: skip
def test_options_in_another_order_or_of_no_class_are_refused(store, write, given, message):
    rows = [{"image": "1.jpg", "pred": "dog", **given}]
    with pytest.raises(DatasetError, match=message):
        import_answers(store, read_table(write("a.jsonl", lines(rows))), TARGET)
    assert "llava" not in store.models


def test_texts_decide_together_where_the_protocol_says_they_were_decoded(store, write):
    rows = [
        {"image": "1.jpg", "order": order, "options": put, "pred": "dog",
         "scores_per_token": [-1.0 * (name == "dog") for name in put]}
        for order, put in enumerate((["cat", "dog"], ["dog", "cat"]))
    ]  # fmt: skip
    table = read_table(write("a.jsonl", lines(rows)))
    for protocol, decided in (("x", 0), ("x-greedy", 1)):
        import_answers(store, table, Target(protocol, "pets", protocol=protocol))
        outcomes = store.outcomes(models=protocol).collect()
        assert outcomes["prediction"].to_list() == [decided, None, None, None]


def test_answers_in_both_orders_decide_together(store, write):
    scores = {"cat/1.jpg": ([-1, -2], [-1, -3]), "cat/2.JPEG": ([-1, -2], [-4, -1])}
    rows = [
        {"image": image, "order": order, "options": put, "scores_per_token": of_order[order],
         "pred": put[int(of_order[order][0] < of_order[order][1])]}
        for order, put in enumerate((["cat", "dog"], ["dog", "cat"]))
        for image, of_order in scores.items()
    ]  # fmt: skip
    rows.append({**rows[0], "image": "9.jpg"})
    report = import_answers(store, read_table(write("a.jsonl", lines(rows))), TARGET)
    found = store.answers("llava", "pets", "options-2")
    assert found.select("sample_index", "order", "prediction").rows() == [
        (0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 0),
    ]  # fmt: skip
    outcomes = store.outcomes().collect()
    assert outcomes["prediction"].to_list() == [1, 0, None, None]  # means of the first: -2, -1.5
    assert outcomes["correct"].to_list() == [False, True, None, None]
    assert "1 (9.jpg) of a.jsonl are no samples of pets: left out" in report.notices
    twice = read_table(write("b.jsonl", lines([*rows, rows[0]])))
    with pytest.raises(DatasetError, match="'cat/1.jpg' stands twice"):
        import_answers(store, twice, Target("other", "pets", protocol="p"))
    for i, other in enumerate((rows[0]["image"], "1.jpg")):  # as it is written, and as it is meant
        bare = [{"image": image, "pred": "cat"} for image in (rows[0]["image"], other)]
        table = read_table(write(f"bare{i}.jsonl", lines(bare)))
        with pytest.raises(DatasetError, match="; number them in a column order, from 0, if"):
            import_answers(store, table, Target("other", "pets", protocol="p"))


def test_an_answer_of_no_class_is_an_answer(store, write):
    rows = "image,pred_label\ncat/1,na\ndog/3,\n"
    table = read_table(write("a.csv", rows))
    import_answers(store, table, TARGET, layout_name="vlm-shapebias")
    answers = store.answers("llava", "pets", "options-2")
    assert answers.select("prediction", "answer").rows() == [(None, "na"), (None, None)]
    assert store.outcomes().collect()["correct"].to_list() == [False, None, None, None]
