"""The command line: parse, call, print.

Commands are imported when they are called, so that `embedstore --help` starts at once.
"""

from __future__ import annotations

import atexit
import gc
import sys
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

# At exit Python looks for garbage in all that was imported: 0.04 s, for memory that is given back
# anyway.
atexit.register(gc.freeze)

#: Name of each command, the module that holds it, and what it does.
COMMANDS = {
    "encode": ("cli.encode", "Run models over data sets, once, into a store."),
    "analyze": ("cli.analyze", "Answer a question from a store, without a model."),
    "index": ("cli.index", "Search stored embeddings: build indexes, ask them, list them."),
    "head": ("cli.head", "Make heads of stored embeddings, list them, apply them."),
    "import": ("cli.import_", "Bring in what others computed: tables, arrays, heads."),
    "export": ("cli.export", "Write what a store holds for other programs: tables, arrays, heads."),
    "info": ("cli.info", "Show what is in a store."),
    "verify": ("cli.verify", "Read every byte of a store against its digests."),
    "diff": ("cli.diff", "Say which numbers differ between two stores, and what explains each."),
    "copy": ("cli.maintain", "Copy what is finished from one store to another."),
    "rm": ("cli.maintain", "Remove a model, a data set, or one model's run over a data set."),
    "zoo": ("cli.zoo", "List models and what is known of them: the six factors of the study."),
    "data": ("cli.data", "List the data sets that are known by name."),
    "prompts": ("cli.prompts", "List prompt sets, encode them without any picture, compare them."),
    "demo": ("cli.demo", "Encode real photographs with real models, and look at the answers."),
    "completion": ("cli.completion", "Print what makes a shell complete embedstore's words."),
}


class Commands(click.Group):
    """A group that knows its commands before it imports them, and states errors in a line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in COMMANDS:
            return None
        attribute = f"{name}_" if iskeyword(name) else name  # `import` can be no name in Python
        command: click.Command = getattr(import_module(COMMANDS[name][0]), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say a stated error in one line and exit with 1."""
        from embedstore.errors import EmbedStoreError

        try:
            return super().invoke(ctx)
        except EmbedStoreError as error:
            one_line = " ".join(str(error).splitlines())  # names of files may hold line ends
            click.echo(f"embedstore: {one_line}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo(
                "embedstore: stopped; finished blocks are kept, and the same command goes on from "
                "there",
                err=True,
            )
            ctx.exit(130)
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            sys.stderr.close()
            ctx.exit(0)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with: embedstore demo",
)
@click.version_option(package_name="embedstore")
def main() -> None:
    """Encode once, analyse for ever.

    Models run over data sets one single time; embeddings, logits and outcomes go into a store, and
    every question after that is answered from it.
    """
