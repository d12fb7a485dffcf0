"""`embedstore data`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from cli.tables import format_option, show

if TYPE_CHECKING:
    from embedstore.datasets.presets.catalog import Preset


def complete_name(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the name of a data set."""
    from embedstore.datasets.presets.catalog import presets

    return [CompletionItem(name) for name in presets() if name.startswith(incomplete)]


@click.group()
def data() -> None:
    """List the data sets that are known by name."""


@data.command("list")
@format_option
def list_(format_: str) -> None:
    """List the data sets that --data knows by name.

    \b
    Example:
      embedstore data list
    """
    import polars as pl

    from embedstore.datasets.presets.catalog import presets

    columns = ("name", "task", "title", "rows", "n_classes")
    rows = {name: [getattr(p, name) for p in presets().values()] for name in columns}
    show(pl.DataFrame(rows), format_)


@data.command("show")
@click.argument("name", shell_complete=complete_name)
@format_option
def show_(name: str, format_: str) -> None:
    """Show a data set: where to get it, its licence, and how a copy of it must lie.

    \b
    Examples:
      embedstore data show objectnet
      embedstore data show imagenet-c --format json
    """
    import polars as pl

    from embedstore.datasets.presets.catalog import preset

    found = preset(name)
    facts = _facts(found)
    if format_ == "table":
        click.echo(_page(found, facts))
    else:
        show(pl.DataFrame([{"name": name, **facts, "layout": found.tree.strip("\n")}]), format_)


@data.command("sources")
@click.argument("source")
def sources(source: str) -> None:
    """List every corruption and severity of a benchmark, each as NAME=SOURCE for --data.

    \b
    Examples:
      embedstore data sources imagenet-c:/data/imagenet-c
      embedstore data sources "imagenet-c:/data/imagenet-c?severity=3"
    """
    from embedstore.datasets.presets.source import benchmark_sources

    for name, one in benchmark_sources(source):
        click.echo(f"{name}={one}")


def _facts(preset: Preset) -> dict[str, Any]:
    return {
        "title": preset.title,
        "summary": preset.summary,
        "task": preset.task,
        "homepage": preset.homepage,
        "documentation": preset.documentation,
        "licence": preset.licence or None,
        "citation": preset.citation,
        "rows": preset.rows,
        "n_classes": preset.n_classes,
        "label_spaces": ", ".join(preset.spaces) or None,
        "corruptions": ", ".join(preset.corruptions) or None,
        "extra_corruptions": ", ".join(preset.extra_corruptions) or None,
        "options": ", ".join((*preset.options, "partial")),
        "example": f"embedstore encode clip.store --model open_clip:ViT-B-32/laion2b_s34b_b79k "
        f"--data {_example(preset)}",
    }


def _example(preset: Preset) -> str:
    if not preset.corruptions:
        return f"{preset.name}={preset.name}:/data/{preset.name}"
    first = preset.corruptions[0]
    chosen = f"?corruption={first}&severity=3"
    return f"'{preset.name}--{first}--3={preset.name}:/data/{preset.name}{chosen}'"


def _page(preset: Preset, facts: dict[str, Any]) -> str:
    lines = [f"{preset.name}: {preset.title}", preset.summary, ""]
    for key, value in facts.items():
        if key not in ("title", "summary", "example"):
            said = "not known" if value is None and key in ("licence", "rows") else value
            said = f"{said:,}" if isinstance(said, int) else said
            lines += [] if said is None else [f"{key.replace('_', ' '):<19}{said}"]
    lines += ["", "A complete copy:", *(f"  {line}" for line in preset.tree.strip().splitlines())]
    command, data = facts["example"].split(" --data ")
    return "\n".join([*lines, "", f"  {command} \\", f"      --data {data}"])
