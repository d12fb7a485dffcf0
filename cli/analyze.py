"""`embedstore analyze`: a command for each analysis, its options the function's own parameters."""

from __future__ import annotations

import gc
import inspect
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click

from cli.arguments import complete_in_store, store_argument
from cli.tables import format_option, show
from embedstore import analysis

#: Parameters that are names in a store, and the folders of these.
NAMES = {
    "models": "models",
    "first": "models",
    "second": "models",
    "datasets": "datasets",
    "id_dataset": "datasets",
    "ood": "datasets",
    "reference": "datasets",
    "texts": "texts",
    "encoder": "models",
    "negatives": "texts",
    "normaliser": "models",
    "clean": "datasets",
    "heads": "models/*/outcomes/*",
    "space": "models/*/outcomes/*/*",
}


class Analyses(click.Group):
    """A command for each analysis, made when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all analyses."""
        return analysis.names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Make the command of an analysis, or of the one in a file."""
        gc.disable()  # imports leave no garbage: 0.01 s of a result that was kept
        try:
            return _command(name)
        finally:
            gc.enable()


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
        store: str | None, format_: str, output: Path | None, *, refresh: bool, **parameters: Any
    ) -> None:
        if (store is None) == (parameters.get("table") is None) and not found.needs_store:
            raise click.UsageError("give either a STORE, or a published table with --table FILE")
        import polars as pl

        from embedstore.errors import EmbedStoreError
        from embedstore.store import Store

        opened = None if store is None else Store.open(store)
        frame = analysis.run(name, opened, refresh=refresh, **parameters)
        if not isinstance(frame, pl.DataFrame):
            raise EmbedStoreError(
                f"analysis {found.name!r} returns {type(frame).__name__}; return a Polars DataFrame"
            )
        nothing = "no row: no name matches, or there is nothing to tell of those that do"
        if store is not None:
            nothing += f"; what there is: embedstore info {store}"
        show(frame, format_, output, empty=nothing)

    parameters: list[click.Parameter] = [store_argument(required=found.needs_store)]
    parameters += [_option(p, found.help_of(n)) for n, p in found.parameters.items()]
    refresh_ = click.Option(["--refresh"], is_flag=True, help="Compute anew what was kept.")
    output = click.Option(
        ["-o", "--output"], type=click.Path(path_type=Path, dir_okay=False), help="Write to a file."
    )
    command = click.Command(
        found.name,
        params=[*parameters, refresh_, output],
        callback=call,
        help="\n  ".join([f"{found.summary}\n\n\b\nExample:", *found.examples]),
    )
    return format_option(command)


def _option(parameter: inspect.Parameter, help_: str | None) -> click.Option:
    name = "--" + parameter.name.replace("_", "-")
    required = parameter.default is inspect.Parameter.empty
    value: dict[str, Any] = {"required": True} if required else {"default": parameter.default}
    value |= {"show_default": not required, "help": help_}
    kind = _kind(parameter)
    if kind is bool:
        return click.Option([f"{name}/--no-{name[2:]}"], **value)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    type_ = click.Choice(choices) if choices else {int: int, float: float}.get(kind, str)
    if parameter.name in NAMES:
        value["shell_complete"] = complete_in_store(NAMES[parameter.name])
    return click.Option([name], type=type_, **value)


def _kind(parameter: inspect.Parameter) -> Any:
    """Return the type of a parameter that is given, be it by its default alone."""
    kind = parameter.annotation
    if kind is inspect.Parameter.empty:
        return type(parameter.default)
    if get_origin(kind) in (Union, types.UnionType):
        return next(a for a in get_args(kind) if a is not type(None))
    return kind
