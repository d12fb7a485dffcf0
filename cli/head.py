"""`embedstore head`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.arguments import complete_in_store, store_argument
from cli.tables import format_option, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embedstore.heads.recipes import Recipe
    from embedstore.labels import ClassMap
    from embedstore.store import Store

KINDS = ("linear-probe", "k-shot", "tip-adapter", "class-mean", "wise-ft")
_FIELDS = {"train": "dataset", "from_": "start", "to": "end"}  # option -> setting of a recipe

model_option = click.option(
    "--model", required=True, shell_complete=complete_in_store("models"), help="By its name."
)
space_option = click.option(
    "--space",
    "spaces",
    multiple=True,
    metavar="NAME|FILE.toml",
    help="A label space to judge in, besides each data set's own. May be repeated.",
)


@click.group()
def head() -> None:
    """Make heads of stored embeddings, list them, apply them.

    No model runs and no picture is read.
    """


@head.command(params=[store_argument()])
@click.option("--kind", type=click.Choice(KINDS), required=True)
@click.option("--train", metavar="DATASET", help="Data set to fit on; all kinds but wise-ft.")
@click.option(
    "--models", "--model", "models", default="*", show_default=True, help="Glob over names."
)
@click.option(
    "--data",
    metavar="GLOB",
    help="Data sets to apply the head to.  [default: all encoded ones with labels to judge it by]",
)
@space_option
@click.option("--name", help="Of the head.  [default: made of kind and data set]")
@click.option(
    "--fraction",
    type=float,
    help="Fit on that part of the data set, by a hash of sample ids; the rest judges the head.",
)
@click.option("--seed", type=int, help="Of every choice of samples.  [default: 0]")
@click.option("--shots", type=click.IntRange(1), help="Samples a class.  [default: 16]")
@click.option(
    "--C",
    "C",
    type=float,
    help="Inverse strength of a probe's regularisation.  [default: chosen on samples set aside]",
)
@click.option(
    "--normalize", is_flag=True, default=None, help="Probe embeddings of unit length, not raw."
)
@click.option("--max-iter", type=click.IntRange(1), help="Of a probe's solver.  [default: 1000]")
@click.option(
    "--metric",
    type=click.Choice(["cosine", "euclidean"]),
    help="Of class means.  [default: cosine]",
)
@click.option("--scale", type=float, help="Of class means' logits.  [default: 1]")
@click.option("--base", metavar="HEAD", help="Head under a Tip-Adapter.  [default: zero-shot]")
@click.option("--alpha", type=float, help="Of tip-adapter (chosen) or wise-ft (0.5).")
@click.option("--beta", type=float, help="Of tip-adapter.  [default: chosen]")
@click.option("--from", "from_", metavar="HEAD", help="Of wise-ft: the head at alpha 0.")
@click.option("--to", metavar="HEAD", help="Of wise-ft: the head at alpha 1.")
@click.option("--dry-run", is_flag=True, help="Only say how many samples, classes and bytes.")
@format_option
def fit(
    store: str,
    kind: str,
    models: str,
    data: str | None,
    spaces: tuple[str, ...],
    dry_run: bool,
    format_: str,
    **settings: Any,
) -> None:
    """Make a head of each model, and apply it.

    \b
    linear-probe  logistic regression, C chosen on a fifth of the samples, then fitted on all
    k-shot        the same on --shots samples a class, C chosen on up to 4 more
    tip-adapter   the zero-shot head and a cache of --shots samples a class (without training)
    class-mean    nearest class mean
    wise-ft       weights between those of two heads

    Samples that had a say in a head never judge it: where it is applied to its own training set,
    their labels do not count, and the label space's name ends in --held-out.

    \b
    Examples:
      embedstore head fit clip.store --kind linear-probe --train imagenet-train
      embedstore head fit clip.store --kind linear-probe --train pets --fraction 0.5 --C 1
      embedstore head fit clip.store --kind tip-adapter --train imagenet-train --shots 16
      embedstore head fit clip.store --kind wise-ft --from photo--pets --to probe --alpha 0.5
    """
    from cli.progress import progress
    from embedstore.heads.fitting import fit_head
    from embedstore.store import Store

    recipe = _recipe(kind, settings)
    opened, maps = Store.open(store), _class_maps(spaces)
    n_judged = 0
    with progress() as reporter:
        chosen = _chosen_models(opened, models, settings["train"], reporter.notice)
        if dry_run:
            _show_effort(opened, chosen, recipe, format_)
            return
        for model in chosen:
            done = fit_head(opened, model, recipe, reporter.notice)
            said = "already there" if done.already else "fitted"
            reporter.notice(f"{model}: {done.head} is {said}")
            n_judged += _apply(opened, model, done.head, data, maps, reporter.notice)
    if n_judged:
        then = f"embedstore analyze accuracy {store} --heads {recipe.head_name}"
        click.echo(f"next: {then}", err=True)


@head.command("list", params=[store_argument()])
@click.option("--models", default="*", show_default=True, help="Glob over names.")
@click.option("--heads", default="*", show_default=True, help="Glob over names.")
@format_option
def list_(store: str, models: str, heads: str, format_: str) -> None:
    """List heads: how each came about, and over how many data sets it was applied.

    \b
    Example:
      embedstore head list clip.store --heads 'linear-probe--*'
    """
    from embedstore.heads.catalogue import heads_table
    from embedstore.store import Store

    nothing = f"no head in {store} matches; see: embedstore info {store}"
    show(heads_table(Store.open(store), models, heads), format_, empty=nothing)


@head.command(params=[store_argument()])
@model_option
@click.option("--head", "name", required=True, help="By its name.")
@click.option("--data", metavar="GLOB", help="Data sets.  [default: those that can judge the head]")
@space_option
def apply(store: str, model: str, name: str, data: str | None, spaces: tuple[str, ...]) -> None:
    """Bring a head's logits and outcomes up to date, in further label spaces too.

    \b
    Examples:
      embedstore head apply clip.store --model vit --head photo--imagenet --data 'imagenet-*'
      embedstore head apply clip.store --model vit --head own --data pets --space groups.toml
    """
    from cli.progress import progress
    from embedstore.store import Store

    opened, maps = Store.open(store), _class_maps(spaces)
    with progress() as reporter:
        _apply(opened, model, name, data, maps, reporter.notice)


@head.command(params=[store_argument()])
@model_option
@click.option("--head", "name", required=True, help="By its name.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(store: str, model: str, name: str, dry_run: bool, yes: bool) -> None:
    """Remove a head, its logits and its outcomes.

    \b
    Example:
      embedstore head rm clip.store --model vit --head linear-probe--pets
    """
    from embedstore.heads.catalogue import removable_head, remove_head
    from embedstore.store import Store

    opened = Store.open(store)
    for folder in removable_head(opened, model, name):
        click.echo(folder)
    if dry_run:
        return
    if not yes:
        click.confirm("Remove these?", abort=True, err=True)
    remove_head(opened, model, name)


def _recipe(kind: str, options: dict[str, Any]) -> Recipe:
    """Make a recipe of the options that were given, refusing those of other kinds."""
    from dataclasses import fields

    from embedstore.heads.fitting import RECIPES

    recipe = RECIPES[kind]
    settings = {f.name: f for f in fields(recipe)}
    given = {k: v for k, v in options.items() if v is not None}
    for option in given:
        if _FIELDS.get(option, option) not in settings:
            raise click.UsageError(f"{_written(option)} says nothing to --kind {kind}")
    for option in ("train", "from_", "to"):
        if _FIELDS[option] in settings and option not in given:
            raise click.UsageError(f"--kind {kind} needs {_written(option)}")
    return recipe(**{_FIELDS.get(k, k): v for k, v in given.items()})


def _written(option: str) -> str:
    return "--" + option.rstrip("_").replace("_", "-")


def _class_maps(spaces: Sequence[str]) -> list[ClassMap]:
    from embedstore.labels import class_map

    return [class_map(space) for space in spaces]


def _chosen_models(
    store: Store, models: str, train: str | None, notice: Callable[[str], None]
) -> list[str]:
    """Return the models that match; of several, those that have encoded the training set."""
    from fnmatch import fnmatchcase

    from embedstore.errors import UnknownNameError

    matching = [m for m in store.models if fnmatchcase(m, models)]
    if not matching:
        raise UnknownNameError("model", models, store.models)
    if train is None:
        return matching
    store.dataset(train)
    able = [m for m in matching if store.files.exists(f"models/{m}/images/{train}/manifest.json")]
    if not able:
        store.embeddings(matching[0], train)  # raises, and says which there are
    for model in (m for m in matching if m not in able):
        notice(f"{model}: left out, since it has not encoded {train}")
    return able


def _apply(
    store: Store,
    model: str,
    name: str,
    data: str | None,
    maps: Sequence[ClassMap],
    notice: Callable[[str], None],
) -> int:
    """Apply a head; return over how many data sets."""
    from fnmatch import fnmatchcase

    from embedstore.errors import UnknownNameError
    from embedstore.heads.applying import apply_head
    from embedstore.heads.held_out import judgeable
    from embedstore.store.pointers import datasets_of

    datasets = judgeable(store, model, name)
    if data is not None:
        known = datasets_of(store.files, model)
        datasets = [d for d in known if fnmatchcase(d, data)]
        if not datasets:
            raise UnknownNameError(f"data set of model {model!r}", data, known)
    if not datasets:
        notice(
            f"{model}: no data set has labels to judge {name} by; fit on a part, --fraction 0.5, "
            "encode another data set, or choose some with --data GLOB"
        )
    for dataset in datasets:
        judged = apply_head(store, model, dataset, name, maps).judgements
        spaces = ", ".join(j.space.name for j in judged)
        notice(f"{model}: {name} on {dataset}, judged in {spaces}")
    return len(datasets)


def _show_effort(store: Store, models: Sequence[str], recipe: Recipe, format_: str) -> None:
    from dataclasses import asdict

    import polars as pl

    from embedstore.heads.fitting import is_made

    rows = []
    for model in models:
        state = "already there" if is_made(store, model, recipe) else "to fit"
        effort = asdict(recipe.effort(store, model))
        rows.append({"model": model, "head": recipe.head_name, **effort, "state": state})
    show(pl.DataFrame(rows), format_)
