"""Tables for a person: fitted to a terminal, whole in numbers, and what is the same said once."""

from __future__ import annotations

import click
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.text_tables import as_text, n_bytes, text_width

CONVENTION = "bins (lo, hi]; interval: basic bootstrap of bin counts, seed 0"


def lines_of(frame: pl.DataFrame, width: int | None) -> list[str]:
    return click.unstyle(as_text(frame, width)).splitlines()


def test_a_table_in_full():
    frame = pl.DataFrame(
        {
            "model": ["a", "long-name"],
            "n_samples": [50_000, 7],
            "top1_accuracy": [0.5, None],
            "p": [1.25e-22, 0.0],
            "fitted": [True, False],
        }
    )
    assert as_text(frame, None) == (
        "model      n samples  top1 accuracy        p  fitted\n"
        "----------------------------------------------------\n"
        "a             50,000         0.5000  1.2e-22  True\n"
        "long-name          7              -   0.0000  False\n"
    )


@pytest.mark.parametrize("width", [None, 100])
def test_a_long_text_of_all_rows_is_told_once_below(width):
    frame = pl.DataFrame({"model": ["a", "b"], "ece": [0.1, 0.2], "convention": 2 * [CONVENTION]})
    lines = lines_of(frame, width)
    assert lines[0] == "model     ece"
    assert lines[-2:] == ["", f"convention: {CONVENTION}"]


def test_texts_that_differ_or_are_short_stay_in_their_rows():
    differ = pl.DataFrame({"x": [1, 2], "note": [CONVENTION, CONVENTION + "!"], "kind": 2 * ["k"]})
    assert lines_of(differ, None)[0].split() == ["x", "note", "kind"]
    one_row = pl.DataFrame({"x": [1], "note": [CONVENTION]})
    assert lines_of(one_row, None)[-1] == f"1  {CONVENTION}"


def test_columns_without_any_value_are_named_last():
    nulls = pl.DataFrame({"a": [1, 2], "b": [None, None], "n_c": [None, None]})
    assert lines_of(nulls, None)[-1] == "all null: b, n_c"
    assert lines_of(nulls, None)[0] == "a"
    assert lines_of(nulls.select("b"), None) == ["b", "-", "-", "-"]  # nothing else is there


def test_a_table_without_rows_is_its_headings():
    assert lines_of(pl.DataFrame(schema={"model": pl.String, "n": pl.Int64}), 80) == [
        "model  n",
        "--------",
    ]


def test_a_table_too_wide_says_once_what_all_rows_share():
    frame = pl.DataFrame({"model": ["a", "b"], "dataset": 2 * ["imagenet-val"], "n_bins": 2 * [15]})
    frame = frame.with_columns(ece=pl.Series([0.1, 0.2]))
    assert lines_of(frame, 40)[0] == "model  dataset       n bins     ece"
    narrow = lines_of(frame, 30)
    assert narrow[0] == "model     ece"
    assert narrow[-2:] == ["in all rows: dataset imagenet-", "  val, n_bins 15"]


def test_one_row_too_wide_is_a_card():
    frame = pl.DataFrame({"model": ["a"], "n_samples": [5_000], "convention": [CONVENTION]})
    assert lines_of(frame, 40) == [
        "model       a",
        "n samples   5,000",
        "convention  bins (lo, hi]; interval:",
        "            basic bootstrap of bin",
        "            counts, seed 0",
    ]


def test_texts_are_folded_before_anything_is_cut_in_blocks():
    name = "open_clip--ViT-B-32--laion2b_s34b_b79k"
    frame = pl.DataFrame({"model": [name, "resnet50"], "top1_accuracy": [0.5, 0.25]})
    lines = lines_of(frame, 40)
    assert [line.split() for line in lines[:2]] == [["top1"], ["model", "accuracy"]]
    assert "".join(line.split()[0] for line in lines[3:5]) == name
    assert lines[3].endswith("0.5000")
    assert max(map(len, lines)) == 40


def test_a_table_too_wide_when_folded_goes_on_in_blocks_that_begin_alike():
    frame = pl.DataFrame({"model": ["first", "second"]})
    values = {f"metric_{i}": [i + 0.25, i + 0.5] for i in range(30)}
    lines = lines_of(frame.with_columns(pl.Series(n, v) for n, v in values.items()), 80)
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith(("first", "second"))]
    for model, shift in (("first", 0.25), ("second", 0.5)):
        found = [float(word) for name, *words in rows if name == model for word in words]
        assert found == [i + shift for i in range(30)]
    assert len(rows) > 2


_TEXTS = st.text("ab-_ é鳥", min_size=1, max_size=60)
_COLUMN = st.one_of(
    st.lists(st.floats(-1e5, 1e5), min_size=3, max_size=3),
    st.lists(st.integers(0, 10**9), min_size=3, max_size=3),
    st.lists(_TEXTS, min_size=3, max_size=3),
)


@given(st.lists(_COLUMN, min_size=1, max_size=25), st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal(columns, width):
    frame = pl.DataFrame({f"column_{i}": values for i, values in enumerate(columns)})
    assert max(map(text_width, lines_of(frame, width))) <= width


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=2, max_size=2), min_size=1, max_size=25))
def test_every_number_is_there_at_any_width(columns):
    frame = pl.DataFrame({f"c{i}": values for i, values in enumerate(columns)})
    for width in (None, 40, 100):
        words = " ".join(lines_of(frame, width)).replace(", ", " ").split()
        assert {f"{v:,}" for values in columns for v in values} <= set(words)


def test_a_text_whose_wide_letters_come_last_is_folded_to_the_width():
    texts = pl.Series("text", ["_", "_____鳥鳥鳥____"])
    frame = pl.DataFrame([texts, *(pl.Series(f"number_{i}", [0.0, -1e4]) for i in range(4))])
    assert max(map(text_width, lines_of(frame, 60))) <= 60
    assert any("鳥" in line for line in lines_of(frame, 60))


def test_wide_letters_take_two_places():
    lines = lines_of(pl.DataFrame({"class": ["鳥", "bird"], "n": [1, 2]}), None)
    assert lines[2:] == ["鳥     1", "bird   2"]
    assert text_width("e\u0301") == 1


@pytest.mark.parametrize(
    ("count", "text"), [(1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_bytes_as_a_person_writes_them(count, text):
    assert n_bytes(count) == text
