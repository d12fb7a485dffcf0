"""`embedstore prompts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.arguments import complete_in_store, store_argument
from cli.prompt_sweep import sweep
from cli.tables import format_option, show

if TYPE_CHECKING:
    from embedstore.encode.prompts import PromptsOver
    from embedstore.store import Store


@click.group()
def prompts() -> None:
    """List prompt sets, encode them without any picture, compare them."""


prompts.add_command(sweep)


@prompts.command("list")
@format_option
def list_(format_: str) -> None:
    """List the prompt sets that have names, and what files may hold.

    Capitals stand for what you choose: waffle-15-seed-0 is 15 pairs of random words and random
    characters, drawn from seed 0.

    \b
    Example:
      embedstore prompts list
    """
    from embedstore.prompts.offered import offered

    show(offered(), format_)


@prompts.command(params=[store_argument()])
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="GLOB",
    shell_complete=complete_in_store("models"),
    help="Models of the store, by name or glob. May be repeated.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="SET",
    help="A prompt set by its name (embedstore prompts list). May be repeated.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="Templates (.txt, .json, .toml), or a .json of classes and what is said of each. "
    "May be repeated.",
)
@click.option(
    "--classes",
    multiple=True,
    metavar="imagenet|imagenet-wordnet|FILE",
    help="What the prompts name. May be repeated.  [default: the classes of the store's data sets]",
)
@click.option(
    "--data",
    "datasets",
    multiple=True,
    metavar="DATASET",
    shell_complete=complete_in_store("datasets"),
    help="A data set of the store, whose classes the prompts name. May be repeated.",
)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option("--dry-run", is_flag=True, help="Only say how many texts are new.")
@format_option
def encode(
    store: str,
    models: tuple[str, ...],
    sets: tuple[str, ...],
    files: tuple[str, ...],
    classes: tuple[str, ...],
    datasets: tuple[str, ...],
    device: str,
    dry_run: bool,
    format_: str,
) -> None:
    """Encode prompts over classes, and make the zero-shot heads; no picture is read.

    Texts that a model has encoded for another set are copied, and where all are, the model is not
    loaded. What is finished is left alone, what was begun is resumed.

    \b
    Examples:
      embedstore prompts encode clip.store --model vit --set photo --set waffle-15-seed-0
      embedstore prompts encode clip.store --model '*' --file cupl.json --classes imagenet
      embedstore prompts encode clip.store --model vit --set photo --classes words.txt
    """
    from cli.progress import progress
    from embedstore.encode.prompts import encode_prompts, plan_prompts
    from embedstore.encode.stored_model import text_models
    from embedstore.store import Store

    if not sets and not files:
        raise click.UsageError("say what to encode: --set NAME or --file FILE")
    opened = Store.open(store)
    chosen = text_models(opened, models)
    asked = _asked(opened, sets, files, classes, datasets)
    if dry_run:
        show(plan_prompts(opened, chosen, asked), format_)
        return
    with progress() as reporter:
        done = encode_prompts(opened, chosen, asked, device=device, progress=reporter)
    show(done, format_)


def _asked(
    store: Store,
    sets: tuple[str, ...],
    files: tuple[str, ...],
    classes: tuple[str, ...],
    datasets: tuple[str, ...],
) -> list[PromptsOver]:
    """Return every prompt set over every class list."""
    from pathlib import Path

    from embedstore.encode.prompts import class_lists_of
    from embedstore.prompts import class_list, prompt_set, read_prompt_set

    wanted = [prompt_set(name) for name in dict.fromkeys(sets)]
    wanted += [read_prompt_set(Path(file)) for file in dict.fromkeys(files)]
    lists = [class_list(name) for name in dict.fromkeys(classes)]
    if datasets or not lists:
        lists += [found for found in class_lists_of(store, datasets) if found not in lists]
    return [(prompts, among) for prompts in wanted for among in lists]
