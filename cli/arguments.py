"""Arguments that several commands share, and how a shell completes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


def store_argument(name: str = "store", *, required: bool = True) -> click.Argument:
    """Return the argument STORE: a folder."""
    metavar = name.upper() if required else f"[{name.upper()}]"
    folder = click.Path(file_okay=False)
    return click.Argument([name], type=folder, metavar=metavar, required=required)


def store_of(ctx: click.Context) -> Path | None:
    """Return the store on a command line that is being completed."""
    # The option still lacks its value, and click stops there: arguments are not parsed yet.
    store = ctx.params.get("store") or next(iter(ctx.args), None)
    return None if store is None else Path(store).expanduser()


def complete_in_store(folders: str) -> Any:
    """Return a completion of the names that the store on the command line has in `folders`.

    A glob, such as ``models/*/heads``.
    """

    def complete(
        ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        store = store_of(ctx)
        entries = [] if store is None else store.glob(f"{folders}/*")
        names = sorted({e.name for e in entries if e.name.startswith(incomplete) and e.is_dir()})
        return [CompletionItem(name) for name in names]

    return complete


def pair(text: str, default: str | None) -> tuple[str, str]:
    """Split NAME=VALUE; `default` stands for a NAME left out, if it may be."""
    name, equals, value = text.partition("=")
    # What comes after KIND: belongs to the SPEC, such as its options (`?mean=0.5`).
    if equals and ":" not in name:
        return name, value
    if default is None:
        raise click.BadParameter(f"{text!r} must be NAME=VALUE")
    return default, text
