"""`embedstore prompts`."""

from __future__ import annotations

import click

from cli.tables import format_option, show


@click.group()
def prompts() -> None:
    """List prompt sets."""


@prompts.command("list")
@format_option
def list_(format_: str) -> None:
    """List the prompt sets that --prompts knows by name.

    \b
    Example:
      embedstore prompts list
    """
    import polars as pl

    from embedstore.prompts import prompt_set, prompt_set_names

    sets = [prompt_set(name) for name in prompt_set_names()]
    columns = {
        "name": [s.name for s in sets],
        "n_templates": [len(s.templates) for s in sets],
        "first_template": [s.templates[0] for s in sets],
    }
    show(pl.DataFrame(columns), format_)
