"""`embedstore verify`."""

from __future__ import annotations

import click

from cli.arguments import store_argument
from cli.tables import format_option, show


@click.command(params=[store_argument()])
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="Sweep leftovers, and withdraw what is damaged so that encoding again refills it.",
)
@format_option
def verify(store: str, mend: bool, format_: str) -> None:
    """Read every byte of a store against its digests.

    Each damaged or missing file is named, with the rows that it costs. Exits with 1 if there is one.

    \b
    Examples:
      embedstore verify clip.store
      embedstore verify clip.store --repair
    """
    from pathlib import Path

    import polars as pl

    from cli.progress import meter
    from embedstore.errors import StoreError
    from embedstore.store.files import LocalFiles
    from embedstore.store.verify import repair
    from embedstore.store.verify import verify as check

    if not Path(store).is_dir():
        raise StoreError(f"there is no store at {store}; check the path")
    files = LocalFiles(Path(store))
    n_bytes = sum(files.size(key) for key in files.walk())
    with meter("verifying", n_bytes) as advance:
        problems = check(files, advance)
    columns = {"file": pl.String, "state": pl.String, "costs": pl.String}
    rows = [(p.file, p.state, p.cost) for p in problems]
    show(pl.DataFrame(rows, schema=columns, orient="row"), format_, empty=f"{store} is whole")
    serious = [p for p in problems if not p.harmless]
    if mend:
        for folder in repair(files, problems):
            click.echo(f"withdrawn: {folder}", err=True)
        click.echo(
            "mended; run the same embedstore encode again to refill what is missing", err=True
        )
    elif serious:
        raise StoreError(
            f"{len(serious)} of the store's files are damaged or missing; mend them with: "
            f"embedstore verify {store} --repair"
        )
