"""`embedstore diff`."""

from __future__ import annotations

import click

from cli.arguments import store_argument
from cli.tables import format_option, show


@click.command(params=[store_argument("store_a"), store_argument("store_b")])
@click.option("--models", default="*", show_default=True, help="Glob over names.")
@click.option("--datasets", default="*", show_default=True, help="Glob over names.")
@click.option(
    "--analysis",
    "analyses",
    multiple=True,
    metavar="NAME[?PARAMETER=VALUE&...]",
    help="Compare the numbers of this analysis too; those of accuracy always are. Repeatable.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-9,
    show_default=True,
    help="Absolute difference up to which numbers are the same.",
)
@click.option(
    "--arrays",
    is_flag=True,
    help="Read embeddings and logits whose digests differ, and say by how much: costly.",
)
@format_option
def diff(
    store_a: str,
    store_b: str,
    models: str,
    datasets: str,
    analyses: tuple[str, ...],
    tolerance: float,
    arrays: bool,
    format_: str,
) -> None:
    """Say which numbers differ between two stores, and what explains each.

    Models, data sets, heads and label spaces are matched by name, samples by id. Numbers come
    first, the largest difference first; then what differs of data sets, models, heads, label spaces
    and conventions; then what one store alone holds.

    \b
    Examples:
      embedstore diff mine.store theirs.store
      embedstore diff before.store after.store --analysis factors --analysis shape-bias
      embedstore diff before.store after.store --analysis 'calibration?id_dataset=imagenet'
      embedstore diff mine.store theirs.store --models 'vit-*' --arrays --format json
    """
    from embedstore.differences.comparing import diff as differences
    from embedstore.store import Store

    a, b = Store.open(store_a), Store.open(store_b)
    found = differences(
        a,
        b,
        models=models,
        datasets=datasets,
        analyses=analyses,
        tolerance=tolerance,
        arrays=arrays,
    )
    if found.is_empty():
        click.echo(f"nothing differs between {store_a} and {store_b}", err=True)
    if format_ != "table" or not found.is_empty():
        show(found, format_)
