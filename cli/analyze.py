"""`embedstore analyze`: a command for each analysis, its options the function's own parameters."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click

from cli.arguments import store_argument
from cli.tables import format_option, show
from embedstore import analysis


class Analyses(click.Group):
    """A command for each analysis, made when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all analyses."""
        return analysis.names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Make the command of an analysis, or of the one in a file."""
        return _command(name)


@click.group(cls=Analyses, subcommand_metavar="NAME STORE [OPTIONS]")
def analyze() -> None:
    """Answer a question from a store, without a model.

    NAME is an analysis, or a Python file with a function of your own marked with @analysis.

    \b
    Examples:
      embedstore analyze accuracy clip.store
      embedstore analyze accuracy clip.store --models 'open_clip--*' --format csv -o accuracy.csv
      embedstore analyze my_question.py clip.store
    """


def _command(name: str) -> click.Command:
    found = analysis.find(name)

    def call(
        store: str, format_: str, output: Path | None, *, refresh: bool, **parameters: Any
    ) -> None:
        import polars as pl

        from embedstore.errors import EmbedStoreError
        from embedstore.store import Store

        frame = analysis.run(name, Store.open(store), refresh=refresh, **parameters)
        if not isinstance(frame, pl.DataFrame):
            raise EmbedStoreError(
                f"analysis {found.name!r} returns {type(frame).__name__}; return a Polars DataFrame"
            )
        nothing = f"no row: nothing finished in {store} matches; see: embedstore info {store}"
        show(frame, format_, output, empty=nothing)

    parameters: list[click.Parameter] = [store_argument()]
    parameters += [_option(parameter) for parameter in found.parameters.values()]
    refresh_ = click.Option(["--refresh"], is_flag=True, help="Compute anew what was kept.")
    output = click.Option(
        ["-o", "--output"], type=click.Path(path_type=Path, dir_okay=False), help="Write to a file."
    )
    command = click.Command(
        found.name,
        params=[*parameters, refresh_, output],
        callback=call,
        help=f"{found.summary}\n\n\b\nExample:\n  embedstore analyze {found.name} clip.store",
    )
    return format_option(command)


def _option(parameter: inspect.Parameter) -> click.Option:
    name = "--" + parameter.name.replace("_", "-")
    kind = parameter.annotation
    required = parameter.default is inspect.Parameter.empty
    value: dict[str, Any] = {"required": True} if required else {"default": parameter.default}
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(a for a in get_args(kind) if a is not type(None))
    if kind is bool:
        return click.Option([f"{name}/--no-{name[2:]}"], show_default=True, **value)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    type_ = click.Choice(choices) if choices else {int: int, float: float}.get(kind, str)
    hint = "Glob over names." if parameter.name in ("models", "datasets", "heads") else None
    return click.Option([name], type=type_, show_default=True, help=hint, **value)
