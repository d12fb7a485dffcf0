"""Options that the commands of `embedstore import` share, and what they say when done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.arguments import complete_in_store

if TYPE_CHECKING:
    from embedstore.importers.report import Report

Option = Callable[[Any], Any]
dataset_option: Option = click.option(
    "--dataset",
    required=True,
    metavar="D",
    shell_complete=complete_in_store("datasets"),
    help="A data set's name in the store.",
)
model_option: Option = click.option(
    "--model", required=True, metavar="M", help="The model's name in the store."
)
file_option: Option = click.option(
    "--file",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    help="The table.",
)
id_option: Option = click.option(
    "--id",
    "id_",
    metavar="COLUMN",
    help="Column of sample ids or file names.  [default: file_name, image, ...]",
)
spaces_option: Option = click.option(
    "--space",
    "spaces",
    multiple=True,
    metavar="NAME|FILE.toml",
    help="A label space to judge in, besides the data set's classes; may be repeated.",
)


def say(report: Report, then: str = "") -> None:
    """Print what the user should know, on standard error."""
    for notice in report.notices:
        click.echo(notice, err=True)
    said = f"{report.what}{', already there' if report.already else ''}"
    click.echo(said, err=True)
    if then and not report.already:
        click.echo(f"next: {then}", err=True)
