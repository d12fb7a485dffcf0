"""`embedstore info`."""

from __future__ import annotations

import click

from cli.arguments import store_argument
from cli.tables import format_option, show


@click.command(params=[store_argument()])
@format_option
def info(store: str, format_: str) -> None:
    """Show what is in a store: models, data sets, heads, rows, bytes, state.

    \b
    Examples:
      embedstore info clip.store
      embedstore info clip.store --format json
    """
    from embedstore.store import Store
    from embedstore.store.maintenance import summary

    show(
        summary(Store.open(store)),
        format_,
        empty=f"{store} is empty; fill it with: embedstore encode",
    )
