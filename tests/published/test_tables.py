"""Tables that a user brings: what they become, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.published.tables import column, read_tables

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path) -> Write:
    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_open_clips_tables_are_joined_by_name_and_weights(shared_data):
    folder = shared_data / "published"
    first, second = folder / "openclip_results.csv", folder / "openclip_retrieval_results.csv"
    table = read_tables([first, second])
    assert table.columns[:3] == ["model", "name", "pretrained"]
    recall = {(r["name"], r["pretrained"]): r for r in rows_of(second)}
    rows = rows_of(first)
    assert table["model"].to_list() == [f"{r['name']} {r['pretrained']}" for r in rows]
    values, unit = column(table, "MSCOCO text retr. R@1")
    expected = [float(recall[r["name"], r["pretrained"]]["MSCOCO text retr. R@1"]) for r in rows]
    assert (values.to_list(), unit) == (expected, "fraction")
    # In both files, and equal: either is meant.
    parameters, unit = column(table, "params (M)")
    assert unit == "number"
    assert parameters.equals(column(table, "openclip_results:params (M)")[0])
    assert parameters.to_list() == [float(r["params (M)"]) for r in rows]


def test_timms_tables_are_joined_by_model_and_size(shared_data):
    folder = shared_data / "published"
    first, second = folder / "timm-results-imagenet.csv", folder / "timm-results-imagenet-a.csv"
    table = read_tables([first, second])
    assert table.columns[:2] == ["model", "img_size"]
    assert table.height == 1_557  # each file has a model that the other lacks
    by_model = {r["model"]: r for r in table.iter_rows(named=True)}
    values, unit = column(table, "timm-results-imagenet-a:top1")
    found = dict(zip(table["model"], values, strict=True))
    assert unit == "percent"
    for row in rows_of(second):
        model = f"{row['model']} {row['img_size']}"
        assert found[model] == pytest.approx(float(row["top1"]) / 100, abs=1e-12)
        millions = float(row["param_count"].replace(",", ""))
        assert by_model[model]["timm-results-imagenet-a:param_count"] == millions
        assert by_model[model]["rank_diff"] == (
            float(row["rank_diff"]) if row["rank_diff"] else None
        )
    assert found["resnet50.tv_in1k 224"] is None
    assert by_model["resmlp_24_224.fb_dino 224"]["timm-results-imagenet:top1"] is None


def test_columns_that_differ_are_asked_for_by_file(shared_data):
    names = ["timm-results-imagenet.csv", "timm-results-sketch.csv"]
    table = read_tables([shared_data / "published" / name for name in names])
    with pytest.raises(
        EmbedStoreError, match="'top1' stands in several tables, and differs; name one of: timm-res"
    ):
        column(table, "top1")
    differences, unit = column(table, "top1_diff")
    assert (unit, differences.min() < -10) == ("number", True)


def test_two_rows_of_titles_are_refused(shared_data):
    path = shared_data / "published/imagenet-3dcc-per-severity.csv"
    with pytest.raises(EmbedStoreError, match="5 columns titled 'near_focus'; write one row of"):
        read_tables([path])


def test_numbers_in_every_guise(write):
    text = (
        "model,signed,thousands,percent,spaced,missing,name,mixed\n"
        'a,+0.5,"1,014.45",85.3%, 0.25 ,-,007,1\n'
        "b,-2,305.08,7 %,1e-1,NaN,12,x\n"
        'c,0,"12,345,678",0.5%,.5,0.75,013,2\n'
    )
    table = read_tables([write("t.csv", text)])
    assert table["signed"].to_list() == [0.5, -2, 0]
    assert table["thousands"].to_list() == [1014.45, 305.08, 12_345_678]
    assert table["percent"].to_list() == pytest.approx([0.853, 0.07, 0.005], abs=1e-15)
    assert table["spaced"].to_list() == [0.25, 0.1, 0.5]
    assert table["missing"].to_list() == [None, None, 0.75]
    assert table["name"].to_list() == ["007", "12", "013"]
    assert table["mixed"].to_list() == ["1", "x", "2"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_a_byte_order_mark(write, separator):
    text = "\ufeffmodel,acc\r\na,0.5\r\n\r\nb,0.25\r\n".replace(",", separator)
    table = read_tables([write("t.csv", text)])
    assert table.to_dict(as_series=False) == {"model": ["a", "b"], "acc": [0.5, 0.25]}


@given(
    rows=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(
            lambda name: f"m{name}m"
        ),
        st.floats(0, 1, allow_subnormal=False),
        min_size=1,
    )
)
def test_what_is_written_is_read(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("tables")
    written = pl.DataFrame({"name": list(rows), "top1": list(rows.values())})
    written.write_csv(folder / "c.csv")
    written.write_parquet(folder / "p.parquet")
    for name in ("c.csv", "p.parquet"):
        table = read_tables([folder / name])
        assert table["model"].to_list() == list(rows)
        values, unit = column(table, "top1")
        assert (values.to_list(), unit) == (list(rows.values()), "fraction")


def test_parquet_and_csv_are_joined(write, tmp_path):
    pl.DataFrame({"model": ["b", "c"], "shift": [30.0, float("nan")]}).write_parquet(
        tmp_path / "p.parquet"
    )
    table = read_tables([write("c.csv", "model,top1\na,0.5\nb,0.75\n"), tmp_path / "p.parquet"])
    assert table.rows() == [("a", 0.5, None), ("b", 0.75, 30.0), ("c", None, None)]
    assert column(table, "shift")[0].to_list() == [None, 0.3, None]


@pytest.mark.parametrize(
    ("values", "expected", "unit"),
    [
        ("0 0.5 1", [0, 0.5, 1], "fraction"),
        ("0 0.5 100", [0, 0.005, 1], "percent"),
        ("1.5 2 3", [0.015, 0.02, 0.03], "percent"),
        ("0.5 -0.25 1", [0.5, -0.25, 1], "number"),
        ("50 60 100.5", [50, 60, 100.5], "number"),
    ],
)
def test_units(write, values, expected, unit):
    rows = "".join(f"m{i},{value}\n" for i, value in enumerate(values.split()))
    found = column(read_tables([write("t.csv", "model,x\n" + rows)]), "x")
    assert (found[0].to_list(), found[1]) == (expected, unit)
    assert (found[0].name, found[0].dtype) == ("x", pl.Float64)


def test_ranks_are_no_names(write):
    """Each file's own order identifies its rows, and must not pair different models."""
    first = write("first.csv", "rank,model,top1\n1,a,0.9\n2,b,0.8\n")
    second = write("second.csv", "rank,model,shift\n1,b,0.5\n2,a,0.25\n")
    table = read_tables([first, second])
    assert table.select("model", "top1", "shift").rows() == [("a", 0.9, 0.25), ("b", 0.8, 0.5)]
    assert table["second:rank"].to_list() == [2, 1]


def test_a_text_that_tells_nothing_apart_is_no_key(write):
    rows = ["bicubic,a,224,0.5", "bicubic,a,288,0.75", "bicubic,b,224,1", "bilinear,c,224,0"]
    path = write("t.csv", "\n".join(["interpolation,model,size,top1", *rows]))
    assert read_tables([path])["model"].to_list() == ["a 224", "a 288", "b 224", "c 224"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no table was named; give a CSV"),
        ({"t.csv": ""}, "t.csv is empty"),
        ({"t.csv": "\nmodel,x\na,1\n"}, "t.csv is empty, or its first line"),
        ({"t.csv": "model,x\n"}, "t.csv has no row"),
        ({"t.csv": "model,x\na,0.5\nb,0.25,7\n"}, "line 3 has 3 values for 2 titles; mend"),
        ({"t.csv": "model,x\na,0.5\nb\n"}, "line 3 has 1 values for 2 titles"),
        ({"t.csv": 'model,x\n"a,0.5\n'}, "cannot be read as a table .unexpected end of data"),
        ({"t.csv": b"model,x\n\xff,1\n"}, "write it as CSV in UTF-8, or as Parquet"),
        ({"t.parquet": b"PAR1 and no more"}, "cannot be read as a table"),
        ({"t.csv": "model,x\na,0.5\na,0.5\n"}, "table t has 'a' twice .by model.; keep one row"),
        (
            {"t.csv": "name,tag,x\na,b,0.5\na,c,.1\na,b,.25\n"},
            "table t has 'a b' twice .by name, tag.",
        ),
        ({"t.csv": "x,y\n0.5,0.25\n"}, "no column of texts or whole numbers"),
        (
            {"s.csv": "model,x\na,0.5\n", "t.csv": "name,y\na,0.5\n"},
            "s and t: no column of texts .* titled the same in all",
        ),
        (
            {"s.csv": "model,x\na,0.5\n", "t.csv": "model,y\nb,0.5\n"},
            "table t has no model in common with those before it, by model; write the names alike",
        ),
        (
            {"s.csv": "model,x\na,0.5\nb,1\n", "t.csv": "model,y\na,0.5\na,1\n"},
            "table t has 'a' twice",
        ),
    ],
)
def test_what_is_no_table_of_models(write, files, message):
    paths = [write(name, content) for name, content in files.items()]
    with pytest.raises(EmbedStoreError, match=message) as caught:
        read_tables(paths)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_two_of_one_name(write, tmp_path):
    with pytest.raises(EmbedStoreError, match=r"cannot read .*none.csv \(No such file.*check the"):
        read_tables([tmp_path / "none.csv"])
    with pytest.raises(EmbedStoreError, match=r"cannot read .* \(Is a directory\)"):
        read_tables([tmp_path])
    path = write("t.csv", "model,x\na,0.5\n")
    with pytest.raises(EmbedStoreError, match="two tables are named 't'; rename one"):
        read_tables([path, path])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ImageNet-a", "no column 'ImageNet-a' in the tables; name one of: ImageNet-A$"),
        ("zzz", "name one of: model, ImageNet-A, family, nothing$"),
        ("family", "column 'family' holds no numbers, such as 'ViT'; name a column of figures"),
        ("model", "column 'model' holds no numbers, such as 'a'"),
        ("nothing", "column 'nothing' is empty"),
    ],
)
def test_columns_that_are_no_figures(write, name, message):
    text = "model,ImageNet-A,family,nothing\na,0.5,ViT,\nb,0.25,RN,\n"
    with pytest.raises(EmbedStoreError, match=message):
        column(read_tables([write("t.csv", text)]), name)


def test_many_columns_are_counted_rather_than_listed(write):
    titles = ",".join(f"c{i}" for i in range(40))
    path = write("t.csv", f"model,{titles}\na{',0.5' * 40}\n")
    with pytest.raises(EmbedStoreError, match=r"model, c0, .*, c10, \.\.\. \(41 in all\)$"):
        column(read_tables([path]), "zzz")
