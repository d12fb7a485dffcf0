"""`embedstore rm` and `embedstore copy`."""

from __future__ import annotations

import click

from cli.arguments import complete_in_store, store_argument


@click.command(params=[store_argument()])
@click.option("--model", shell_complete=complete_in_store("models"), help="A model, by its name.")
@click.option(
    "--data", shell_complete=complete_in_store("datasets"), help="A data set, by its name."
)
@click.option(
    "--pairs",
    shell_complete=complete_in_store("datasets/*/pairs"),
    help="Only this set of the data set's pairs.",
)
@click.option(
    "--protocol",
    shell_complete=complete_in_store("models/*/answers/*"),
    help="Only the model's answers by this protocol, and their outcomes.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(
    store: str,
    model: str | None,
    data: str | None,
    pairs: str | None,
    protocol: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove a model, a data set, or one model's run over a data set.

    With --pairs, one set of a data set's pairs alone; with --protocol, a language model's answers
    by one protocol.

    \b
    Examples:
      embedstore rm clip.store --model vit-b-32
      embedstore rm clip.store --model vit-b-32 --data imagenet-a
      embedstore rm clip.store --data imagenet-a --yes
      embedstore rm clip.store --data navi --pairs wild
      embedstore rm clip.store --model llava --data pets --protocol two-options
    """
    from embedstore.store import Store
    from embedstore.store.maintenance import Selection, removable, remove

    if model is None and data is None:
        raise click.UsageError("name what to remove: --model NAME, --data NAME, or both")
    opened, selection = Store.open(store), Selection(model, data, pairs, protocol)
    for folder in removable(opened, selection):
        click.echo(folder)
    if dry_run:
        return
    if not yes:
        click.confirm("Remove these?", abort=True, err=True)
    remove(opened, selection)


@click.command(params=[store_argument(), store_argument("target")])
@click.option("--models", default="*", show_default=True, help="Glob over names.")
@click.option("--datasets", default="*", show_default=True, help="Glob over names.")
def copy(store: str, target: str, models: str, datasets: str) -> None:
    """Copy what is finished from one store to another, each file checked on the way.

    \b
    Examples:
      embedstore copy clip.store backup.store
      embedstore copy clip.store small.store --models 'vit-b-32' --datasets 'imagenet-*'
    """
    from cli.progress import meter
    from cli.text_tables import n_bytes
    from embedstore.store import Store
    from embedstore.store.maintenance import copy as copy_store

    source, opened = Store.open(store), Store.open(target, create=True)
    with meter("copying", None) as advance:
        copied = copy_store(source, opened, models=models, datasets=datasets, progress=advance)
    said = f"{n_bytes(copied)} copied to {target}" if copied else f"{target} has all of it already"
    click.echo(said, err=True)
