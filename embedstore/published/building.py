"""The data file of published figures, from the files that their authors published.

Maintenance, which no command needs: ``python -m embedstore.published.building FOLDER`` writes the
data file anew. FOLDER holds `published/` (open_clip's and timm's tables and RobustBench's of
ImageNet-3DCC) and `imagenet-x/` (the per-factor accuracies). SPECs and groups are the zoo's.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import polars as pl

from embedstore import zoo
from embedstore.published import COLUMNS, DATA
from embedstore.published.datasets import (
    FACTORS,
    N_CLEAN,
    N_FACTORS,
    N_QUERIES,
    N_ROBUSTBENCH,
    OPEN_CLIP,
    TIMM,
    TimmFile,
)

#: When the files were taken down.
DATE = "2026-11"
#: ImageNet-X's tables: file, source, kind and what its folder upstream is called.
_IMAGENET_X = (
    ("published-top-factor-accuracies-testbed.csv", "imagenet-testbed", "top", "imagenet_testbed"),
    ("published-top-factor-accuracies.csv", "imagenet-x", "top", "base"),
    ("published-multi-factor-accuracies.csv", "imagenet-x", "multi", "base"),
)


def from_folder(folder: Path) -> pl.DataFrame:
    """Return all figures of the files in a folder: columns `COLUMNS`, sorted by them."""
    published = folder / "published"
    tables = [
        open_clip_accuracy(published),
        open_clip_retrieval(published),
        timm(published),
        imagenet_x(folder / "imagenet-x"),
        robustbench(published),
    ]
    whole = pl.concat(tables, how="diagonal_relaxed").with_columns(
        date=pl.lit(DATE), value=pl.col("value").cast(pl.Float64)
    )
    # Of a model that timm lists in one file alone, no difference is known.
    known = whole.filter(pl.col("value").is_not_null())
    typed = known.select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())
    return typed.sort(list(COLUMNS)[:-2])


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a data file, small rather than fast: it is read whole."""
    frame.write_parquet(path, compression="zstd", compression_level=19, statistics=False)


def open_clip_accuracy(folder: Path) -> pl.DataFrame:
    """Return open_clip's figures on each data set but those of retrieval."""
    figures, origin = _open_clip(folder, "openclip_results.csv")
    named = pl.DataFrame(
        OPEN_CLIP, schema=["title", "dataset", "column", "n_samples"], orient="row"
    )
    ours = pl.col("column").is_in(["top1_accuracy", "mean_class_accuracy"])
    return figures.join(named, "title").select(
        pl.exclude("title"),
        origin=pl.lit(origin),
        analysis=pl.when(ours).then(pl.lit("accuracy")),
    )


def open_clip_retrieval(folder: Path) -> pl.DataFrame:
    """Return open_clip's recalls at 1, 5 and 10, both ways."""
    figures, origin = _open_clip(folder, "openclip_retrieval_results.csv")
    datasets = {"Flickr": "flickr30k-karpathy", "MSCOCO": "coco-karpathy"}
    directions = {"image": "text-to-image", "text": "image-to-text"}  # what is sought, there
    parts = pl.col("title").str.extract_groups(r"^(\w+) (image|text) retr\. R@(\d+)$")
    queries = pl.DataFrame(
        [(*key, n) for key, n in N_QUERIES.items()],
        schema=["dataset", "direction", "n_samples"],
        orient="row",
    )
    return (
        figures.with_columns(parts.struct.rename_fields(["dataset", "direction", "k"]))
        .unnest("title")
        .filter(pl.col("k").is_not_null())
        .with_columns(
            pl.col("dataset").replace_strict(datasets),
            pl.col("direction").replace_strict(directions),
            pl.col("k").cast(pl.Int32),
            origin=pl.lit(origin),
            analysis=pl.lit("retrieval"),
            column=pl.lit("recall"),
        )
        .join(queries, ["dataset", "direction"], how="left")
    )


def timm(folder: Path) -> pl.DataFrame:
    """Return timm's top-1 and top-5 accuracies on ImageNet and its variants."""
    figures = pl.concat([_timm_file(folder, file) for file in TIMM])
    sizes = figures.select("name", "resolution").unique()
    several = sizes["name"].is_duplicated()
    models = pl.DataFrame(
        [
            (name, size, f"{name}@{size}" if more else name, *_timm_model(name, size))
            for (name, size), more in zip(sizes.rows(), several, strict=True)
        ],
        schema=["name", "resolution", "model", "spec", "group"],
        orient="row",
        infer_schema_length=None,
    )
    return figures.join(models, ["name", "resolution"]).select(
        pl.exclude("name"), source=pl.lit("timm"), analysis=pl.lit("accuracy")
    )


def imagenet_x(folder: Path) -> pl.DataFrame:
    """Return accuracies by factor, of the testbed's models and of ImageNet-X's own two.

    Their mean over the 100 classes they are worst at is left out: no analysis of ours has it.
    """
    figures = pl.concat([_factor_file(folder, *file) for file in _IMAGENET_X])
    zero_shot = pl.col("model").str.ends_with("_clip_zeroshot")
    group = pl.when(zero_shot).then(pl.lit("zero-shot")).otherwise(pl.lit("baseline"))
    of_testbed = pl.col("source") == "imagenet-testbed"
    return figures.with_columns(
        group=pl.when(of_testbed).then(group),
        analysis=pl.lit("factors"),
        dataset=pl.lit("imagenet-val"),
    )


def robustbench(folder: Path) -> pl.DataFrame:
    """Return accuracies under each corruption and severity of ImageNet-3DCC."""
    with (folder / "imagenet-3dcc-per-severity.csv").open(newline="", encoding="utf-8") as file:
        (_, *corruptions), (_, *severities), *rows = csv.reader(file)
    figures = [
        (model, corruption, int(severity), float(value))
        for model, *values in rows
        for corruption, severity, value in zip(corruptions, severities, values, strict=True)
    ]
    return pl.DataFrame(
        figures, schema=["model", "corruption", "severity", "value"], orient="row"
    ).with_columns(
        source=pl.lit("robustbench-3dcc"),
        origin=pl.lit("github RobustBench/robustbench"),
        analysis=pl.lit("corruptions"),
        column=pl.lit("accuracy"),
        dataset=pl.lit("imagenet-3dcc"),
        n_samples=pl.lit(N_ROBUSTBENCH),
    )


def _open_clip(folder: Path, name: str) -> tuple[pl.DataFrame, str]:
    """Return a figure a row, by its column's title, and the file's origin."""
    table = _read(folder / name).with_columns(
        source=pl.lit("open_clip"), model=pl.format("{}/{}", "name", "pretrained")
    )
    facts = [
        (model, f"open_clip:{model}", *_facts(f"open_clip:{model}")) for model in table["model"]
    ]
    models = pl.DataFrame(
        facts,
        schema=["model", "spec", "group", "resolution"],
        orient="row",
        infer_schema_length=None,
    )
    figures = table.drop("name", "pretrained").unpivot(
        index=["source", "model"], variable_name="title"
    )
    return figures.join(models, "model"), f"github mlfoundations/open_clip docs/{name}"


def _factor_file(folder: Path, name: str, source: str, kind: str, upstream: str) -> pl.DataFrame:
    """Return the figures of one of ImageNet-X's tables: a row a model and factor, and overall."""
    titles = {"average": "overall_accuracy", "worst_factor": "worst_factor"}
    counts = FACTORS[kind] | {"average": N_FACTORS}
    path = f"results/val/{kind}_factor/{upstream}/class/accuracies_per_factor.csv"
    title = pl.col("title")
    return (
        _read(folder / name)
        .drop("worst_100_classes")
        .unpivot(index="model", variable_name="title")
        .select(
            "model",
            "value",
            source=pl.lit(source),
            origin=pl.lit(f"github facebookresearch/imagenetx {path}"),
            kind=pl.lit(kind),
            column=title.replace_strict(titles, default="accuracy"),
            factor=pl.when(~title.is_in(list(titles))).then(title),
            n_samples=title.replace_strict(counts, default=None),
        )
    )


def _facts(spec: str) -> tuple[str | None, int | None]:
    """Return what the zoo says of a model: its group and its resolution."""
    row = zoo.find(spec) or {}
    return row.get("group"), row.get("resolution")


def _timm_file(folder: Path, file: TimmFile) -> pl.DataFrame:
    """Return the figures of one of timm's tables, and the ImageNet accuracies that it implies."""
    table = _read(folder / f"timm-results-{file.stem}.csv")
    read = [(file.dataset, file.space, file.n_samples, ("top1", "top5"))]
    if file.clean is not None:
        table = table.with_columns(
            (pl.col(top) - pl.col(f"{top}_diff")).alias(f"{top}_clean") for top in ("top1", "top5")
        )
        read.append(("imagenet-val", file.clean, N_CLEAN, ("top1_clean", "top5_clean")))
    origin = f"github huggingface/pytorch-image-models results/results-{file.stem}.csv"
    return pl.concat(
        table.select(
            pl.col("model").alias("name"),
            pl.col("img_size").alias("resolution"),
            (pl.col(top) / 100).round(5).alias("value"),  # per cent, of three decimals
            origin=pl.lit(origin),
            column=pl.lit(f"{top[:4]}_accuracy"),
            dataset=pl.lit(dataset),
            space=pl.lit(space, pl.String),
            n_samples=pl.lit(n_samples),
        )
        for dataset, space, n_samples, tops in read
        for top in tops
    )


def _timm_model(name: str, size: int) -> tuple[str | None, str | None]:
    """Return SPEC and group of a model at a size; null where the zoo lacks it."""
    row = zoo.find(f"timm:{name}")
    if row is None:
        return None, None
    option = "" if row["resolution"] == size else f"?input_size={size}"
    return f"timm:{name}{option}", row["group"]


def _read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema_length=None)


def main(folder: str) -> None:
    """Write the data file from a folder, and say what is in it."""
    frame = from_folder(Path(folder))
    write(frame, DATA)
    print(f"{DATA}: {frame.height:,} figures, {DATA.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
