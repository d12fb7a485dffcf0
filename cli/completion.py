"""`embedstore completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete embedstore's words.

    \b
    Examples:
      eval "$(embedstore completion bash)"
      embedstore completion fish > ~/.config/fish/completions/embedstore.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    click.echo(kind(root, {}, "embedstore", "_EMBEDSTORE_COMPLETE").source())
