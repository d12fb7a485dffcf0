"""`embedstore prompts sweep`: the analysis `prompt-sweep` under the name that its parts go by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.arguments import complete_in_store, store_argument
from cli.tables import format_option, show


@click.command(params=[store_argument()])
@click.option(
    "--data",
    required=True,
    multiple=True,
    shell_complete=complete_in_store("datasets"),
    help="A data set with stored image embeddings, by its name or a glob. Repeatable.",
)
@click.option(
    "--ood",
    multiple=True,
    shell_complete=complete_in_store("datasets"),
    help="An out-of-distribution data set that AUROC is against. Repeatable.",
)
@click.option(
    "--models",
    default="*",
    show_default=True,
    shell_complete=complete_in_store("models"),
    help="Glob over names.",
)
@click.option(
    "--texts",
    default="*",
    show_default=True,
    shell_complete=complete_in_store("texts"),
    help="Text sets, names or globs parted by commas.",
)
@click.option(
    "--parts",
    default="sets,templates,prefixes,greedy",
    show_default=True,
    help="Which of them to judge, parted by commas.",
)
@click.option(
    "--score",
    type=click.Choice(["mcm", "msp", "energy", "max-logit"]),
    default="mcm",
    show_default=True,
    help="What AUROC ranks samples by.",
)
@click.option(
    "--max-templates",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many templates greedy selection takes at most.",
)
@click.option(
    "--n-bins", type=click.IntRange(min=1), default=15, show_default=True, help="Of confidence."
)
@click.option("--seed", default=0, show_default=True, help="Of the halves of greedy selection.")
@click.option("--refresh", is_flag=True, help="Compute anew what was kept.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file."
)
@format_option
def sweep(
    store: str,
    data: tuple[str, ...],
    ood: tuple[str, ...],
    format_: str,
    output: Path | None,
    **parameters: Any,
) -> None:
    """Judge prompts on stored embeddings: sets, templates alone, prefixes, greedy choices.

    No model is loaded and no picture looked at. Text sets are those that the store holds of a
    model: make more with `embedstore prompts encode`.

    \b
    Examples:
      embedstore prompts sweep clip.store --data imagenet
      embedstore prompts sweep clip.store --data imagenet --ood textures --texts openai-80
      embedstore prompts sweep clip.store --data imagenet --parts prefixes --format csv -o p.csv
    """
    from embedstore import analysis
    from embedstore.store import Store

    parameters |= {"datasets": ",".join(data), "ood": ",".join(ood) or None}
    show(analysis.run("prompt-sweep", Store.open(store), **parameters), format_, output)
