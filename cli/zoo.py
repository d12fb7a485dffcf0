"""`embedstore zoo`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from cli.tables import format_option, show
from embedstore.zoo import GROUPS

if TYPE_CHECKING:
    import polars as pl


def complete_models(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a SPEC, or a name, of the zoo."""
    from embedstore import zoo

    frame = zoo.models()
    names = [*frame["spec"], *frame["name"]]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.group()
def zoo() -> None:
    """List models and what is known of them: the six factors of the study.

    All models that open_clip and timm offer are there; those of the study have a group.
    """


@zoo.command("list")
@click.argument("pattern", metavar="[GLOB]", default="*")
@click.option(
    "--group",
    type=click.Choice(GROUPS),
    help="zero-shot CLIP; CLIP fine-tuned on ImageNet; ImageNet baselines: supervised on it alone, "
    "pretrained on more, self-supervised first; language models.",
)
@click.option("--architecture", metavar="FAMILY", help="RN, ConvNeXt, ViT, EVA, Swin, ...")
@click.option("--training-distribution", metavar="GLOB", help="WIT, 'LAION*', 'ImageNet-*', ...")
@format_option
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file."
)
def list_(pattern: str, format_: str, output: Path | None, **filters: str | None) -> None:
    """List models. GLOB is over names and SPECs.

    The table shows what fits; json, csv and parquet hold every column.

    \b
    Examples:
      embedstore zoo list --group zero-shot
      embedstore zoo list '*ViT-L-14*' --training-distribution 'LAION*'
      embedstore zoo list --group clip-ft --format csv -o models.csv
    """
    from embedstore import zoo

    group, family = filters["group"], filters["architecture"]
    frame = _matching(zoo.models(group), ("name", "spec"), pattern)
    if family is not None:
        frame = _matching(frame, ("architecture",), _known(frame, family))
    if filters["training_distribution"] is not None:
        frame = _matching(frame, ("training_distribution",), filters["training_distribution"])
    shown = _brief(frame, group) if format_ == "table" else frame
    show(shown, format_, output, empty="no model matches; see all with: embedstore zoo list")


def _matching(frame: pl.DataFrame, columns: tuple[str, ...], pattern: str) -> pl.DataFrame:
    """Keep the rows of which one column matches a glob, whatever the case."""
    rows = frame.select(columns).iter_rows()
    glob = pattern.lower()
    return frame.filter([any(fnmatchcase(v.lower(), glob) for v in row if v) for row in rows])


def _known(frame: pl.DataFrame, family: str) -> str:
    from embedstore.models.specs import unknown

    families = frame["architecture"].drop_nulls().unique()
    if family.lower() not in {known.lower() for known in families}:
        raise unknown("architecture", family, families)
    return family


def _brief(frame: pl.DataFrame, group: str | None) -> pl.DataFrame:
    """Return the columns that fit a terminal of 100 columns; not the group if it was asked for."""
    import polars as pl

    size = (pl.col("n_parameters") / 1e6).round().cast(pl.Int64).cast(pl.String)
    return frame.select(
        model="spec",
        **({} if group else {"group": pl.col("group")}),
        family="architecture",
        size=size.str.pad_start(5) + "M",
        px="resolution",
        trained_on="training_distribution",
        top1=pl.col("imagenet_top1").map_elements("{:.3f}".format, return_dtype=pl.String),
    )


@zoo.command("show")
@click.argument("model", shell_complete=complete_models)
@format_option
def show_(model: str, format_: str) -> None:
    """Show all that is known of a MODEL: a SPEC or a name.

    \b
    Examples:
      embedstore zoo show open_clip:ViT-B-32/laion2b_s34b_b79k
      embedstore zoo show timm--resnet50.a1_in1k --format json
    """
    import polars as pl

    from embedstore import zoo
    from embedstore.models.specs import unknown

    row = zoo.find(model)
    if row is None:
        column = "spec" if ":" in model else "name"
        raise unknown("model of the zoo", model, zoo.models()[column])
    if format_ != "table":
        show(pl.DataFrame([row], schema=dict(zoo.COLUMNS)), format_)
        return
    width = max(map(len, row))
    for name, value in row.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_written(value)}")
    click.echo(
        f"\nembedstore encode STORE --model {_usable(row)} \\\n"
        f"    --data imagenet-a=folder:/data/imagenet-a{_prompts(row)}"
    )


def _written(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _usable(row: dict[str, Any]) -> str:
    """Return the SPEC to give: the one its note names, where a model cannot be used as it is."""
    _, use, instead = (row["note"] or "").partition("; use ")
    return instead if use else str(row["spec"])


def _prompts(row: dict[str, Any]) -> str:
    """Return the option that names the prompts of a model that takes any, or a protocol."""
    if row["spec"].startswith("llava:"):
        return " --protocol n-way-4"
    return f" --prompts {row['prompts']}" if row["prompts"] == "openai-80" else ""
