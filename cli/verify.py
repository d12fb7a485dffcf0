"""`embedstore verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.arguments import store_argument
from cli.tables import format_option, show

if TYPE_CHECKING:
    from embedstore.store.files import LocalFiles
    from embedstore.store.verify import Problem


@click.command(params=[store_argument()])
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="Sweep leftovers, and withdraw what is damaged: encoding or importing again refills it.",
)
@format_option
def verify(store: str, mend: bool, format_: str) -> None:
    """Read every byte of a store against its digests.

    Names each damaged or missing file and the rows that it costs; exits with 1 if there is one.

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
    from embedstore.store.verify import verify as check

    files = LocalFiles(Path(store))
    with meter("verifying", None) as advance:
        problems = check(files, advance)
    columns = {"file": pl.String, "state": pl.String, "costs": pl.String}
    rows = [(p.file, p.state, p.cost) for p in problems]
    show(pl.DataFrame(rows, schema=columns, orient="row"), format_, empty=f"{store} is whole")
    serious = [p for p in problems if not p.harmless]
    if mend and problems:
        _mend(store, files, problems)
    elif serious:
        raise StoreError(
            f"damaged or missing files of the store: {len(serious)}; mend it with: "
            f"embedstore verify {store} --repair"
        )


def _mend(store: str, files: LocalFiles, problems: list[Problem]) -> None:
    """Repair what can be, and say what is left to do."""
    from embedstore.errors import StoreError
    from embedstore.store.plans import PLAN
    from embedstore.store.repair import LEFTOVER_AGE, repair

    withdrawn = repair(files, problems, leftover_age=LEFTOVER_AGE)
    if any(files.exists(p.file) for p in problems if p.state == "leftover"):
        click.echo(
            "leftovers younger than ten minutes may belong to a running encode: left alone",
            err=True,
        )
    for folder in withdrawn:
        click.echo(f"withdrawn: {folder}", err=True)
    hopeless = [p.file for p in problems if p.file.endswith(f"/{PLAN}")]
    if hopeless:
        again = _again(files, hopeless[0])
        raise StoreError(
            f"{hopeless[0]} is beyond mending; remove its run with: embedstore rm {store} "
            f"{_removed(hopeless[0])}, then {again.removeprefix('embedstore ')} again"
        )
    commands = " and ".join(sorted({_again(files, folder) for folder in withdrawn}))
    refill = f"run the same {commands} again to refill what is missing"
    click.echo(f"mended; {refill}" if withdrawn else "mended", err=True)


def _removed(file: str) -> str:
    """Return the options of `embedstore rm` that remove what a file is of."""
    match file.split("/"):
        case ["datasets", data, "pairs", name, *_]:
            return f"--data {data} --pairs {name}"
        case [_, model, "texts", *_]:
            return f"--model {model}"
        case [_, model, _, data, *_]:
            return f"--model {model} --data {data}"
    return ""


def _again(files: LocalFiles, file: str) -> str:
    """Return the command that made a file or folder, of a repaired store."""
    from embedstore.importers.models import IDENTITY
    from embedstore.store import layout
    from embedstore.store.records import read_record

    match file.split("/"):
        case ["datasets", _, "pairs", *_]:
            return "embedstore import pairs"
        case ["datasets", _, "annotations", *_]:
            return "embedstore import"
        case ["models", model, kind, *_] if files.exists(key := layout.model_record(model)):
            if read_record(files.read(key), key)["identity"] == IDENTITY:
                return "embedstore import answers" if kind == "answers" else "embedstore import"
    return "embedstore encode"
