"""`embedstore export`."""

from __future__ import annotations

from pathlib import Path

import click

from cli.arguments import store_argument

WHAT = ("outcomes", "embeddings", "text-embeddings", "logits", "results", "samples", "heads")
FORMATS = ("parquet", "csv", "npy", "npz", "safetensors", "clip-retrieval", "clip-benchmark")


@click.command(params=[store_argument()])
@click.option("--what", type=click.Choice(WHAT), required=True)
@click.option("--models", default="*", show_default=True, help="Glob over names.")
@click.option("--datasets", default="*", show_default=True, help="Glob over names.")
@click.option(
    "--heads", default="*", show_default=True, help="Glob over names of heads, or of text sets."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="[default: what the path ends in, else parquet, npy or npz]",
)
@click.option(
    "--analysis", default="accuracy", show_default=True, help="Whose results, of --what results."
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A file; a folder where several are written.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
def export(
    store: str,
    what: str,
    models: str,
    datasets: str,
    heads: str,
    format_: str | None,
    analysis: str,
    output: Path,
    force: bool,
) -> None:
    """Write what a store holds for other programs: tables, arrays, heads.

    Beside arrays stand their samples (.samples.parquet) and classes (.classes.csv), which
    `embedstore import` takes again with --ids and --classes.

    \b
    Examples:
      embedstore export clip.store --what outcomes -o outcomes.parquet
      embedstore export clip.store --what embeddings --models b32 --datasets imagenet -o b32.npy
      embedstore export clip.store --what embeddings --format clip-retrieval --models b32 \\
          --datasets laion -o clip-output
      embedstore export clip.store --what results --format clip-benchmark -o results
    """
    from cli.progress import meter
    from embedstore.exporters.exporting import export as export_from
    from embedstore.exporters.selection import Chosen
    from embedstore.store import Store

    chosen = Chosen(Store.open(store), output.expanduser(), models, datasets, heads)
    with meter("writing", None) as advance:
        done = export_from(chosen, what, format_, analysis=analysis, force=force, advance=advance)
    for notice in done.notices:
        click.echo(notice, err=True)
    for job in done.jobs:
        click.echo(f"{job.path}: {job.what}" if job.what else f"{job.path}", err=True)
