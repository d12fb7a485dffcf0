"""`embedstore index`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.arguments import complete_in_store, store_argument
from cli.tables import format_option, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from embedstore.encode.progress import Progress
    from embedstore.index.exact import Metric
    from embedstore.index.searching import Search
    from embedstore.index.subject import Subject

KINDS = ("flat", "hnsw", "ivf", "ivfpq")

model_option = click.option(
    "--model", required=True, shell_complete=complete_in_store("models"), help="By its name."
)
data_option = click.option(
    "--data",
    metavar="DATASET",
    shell_complete=complete_in_store("datasets"),
    help="Whose pictures are searched.",
)
texts_option = click.option(
    "--texts",
    metavar="TEXTS",
    shell_complete=complete_in_store("texts"),
    help="Text set that is searched instead: captions or prompts.",
)
metric_option = click.option(
    "--metric",
    type=click.Choice(["ip", "l2"]),
    default="ip",
    show_default=True,
    help="ip: cosine, the inner product of unit vectors. l2: squared distance of raw ones.",
)


@click.group()
def index() -> None:
    """Search stored embeddings: build indexes, ask them, list them.

    Exact search needs no index.
    """


@index.command(params=[store_argument()])
@model_option
@data_option
@texts_option
@click.option(
    "--kind",
    type=click.Choice(["auto", *KINDS]),
    default="auto",
    show_default=True,
    help="auto: flat to 256 MiB, hnsw to a million rows, ivf, and ivfpq where memory is short.",
)
@metric_option
@click.option("--dry-run", is_flag=True, help="Only say the kind, and how many bytes.")
@format_option
def build(
    store: str,
    model: str,
    data: str | None,
    texts: str | None,
    kind: str,
    metric: Metric,
    dry_run: bool,
    format_: str,
) -> None:
    """Build a FAISS index of a model's embeddings, and measure how many neighbours it finds.

    \b
    flat   exact
    hnsw   a graph: the quickest, of a few hundred bytes more a row
    ivf    lists around centroids: quick to build
    ivfpq  the same, of codes: a twentieth of the bytes; answers are sorted by the embeddings

    How widely hnsw and ivf look is chosen so that recall@10 is .95 or more. What is built already
    is left alone, unless its embeddings have changed or it is damaged.

    \b
    Examples:
      embedstore index build clip.store --model vit --data imagenet-train
      embedstore index build clip.store --model vit --data imagenet-train --kind ivfpq --dry-run
      embedstore index build clip.store --model vit --texts captions--coco --kind hnsw
    """
    from cli.progress import progress
    from embedstore.index.building import build as build_index
    from embedstore.index.catalogue import planned
    from embedstore.index.subject import Subject
    from embedstore.store import Store

    subject = Subject.open(Store.open(store), model, dataset=data, texts=texts)
    if not dry_run:
        with progress() as reporter:
            reporter.begin(f"{model}: index of {subject.name}", subject.n_rows, unit="rows")
            built, made = build_index(subject, kind=kind, metric=metric, advance=reporter.advance)
            reporter.end()
            kind = built.kind
            reporter.notice(f"{kind} is {'built' if made else 'already there'}")
    show(planned(subject, kind, metric), format_)


@index.command(params=[store_argument()])
@model_option
@data_option
@texts_option
@click.option("--text", "words", multiple=True, help="A query, encoded as it is. May be repeated.")
@click.option("--image", "images", multiple=True, metavar="FILE", help="A query. May be repeated.")
@click.option(
    "--sample",
    "samples",
    multiple=True,
    metavar="ID",
    help="A query: a sample of --data, or of the captions'. May be repeated.",
)
@click.option("-k", type=click.IntRange(1), default=10, show_default=True, help="Neighbours.")
@click.option(
    "--kind",
    type=click.Choice(["exact", "auto", *KINDS]),
    help="Of the index.  [default: the one built, else exact search]",
)
@metric_option
@format_option
def search(
    store: str,
    model: str,
    data: str | None,
    texts: str | None,
    words: tuple[str, ...],
    images: tuple[str, ...],
    samples: tuple[str, ...],
    k: int,
    kind: str | None,
    metric: Metric,
    format_: str,
) -> None:
    """Find the nearest pictures or texts.

    A text or a picture loads the model; a sample needs none, and is left out of its own answers.

    \b
    Examples:
      embedstore index search clip.store --model vit --data pets --text 'a sleeping cat'
      embedstore index search clip.store --model vit --data pets --image cat.jpg -k 3
      embedstore index search clip.store --model vit --data pets --sample siamese/017 --kind exact
      embedstore index search clip.store --model vit --texts captions--coco --image cat.jpg
    """
    if not (words or images or samples):
        raise click.UsageError("name what to look for: --text WORDS, --image FILE or --sample ID")
    import polars as pl

    from cli.progress import progress
    from embedstore.index.answers import near_samples
    from embedstore.index.searching import search_over
    from embedstore.index.subject import Subject
    from embedstore.store import Store

    dataset = data if texts is None else None
    subject = Subject.open(Store.open(store), model, dataset=dataset, texts=texts)
    with progress() as reporter:
        chosen = search_over(subject, kind=kind, metric=metric, notice=reporter.notice)
        tables = []
        if words or images:
            tables.append(_near_queries(chosen, words, images, k, reporter))
        if samples:
            tables.append(near_samples(chosen, _samples_dataset(subject, data), samples, k))
        reporter.notice(f"searched {subject.n_rows:,} rows of {subject.name}: {chosen.how}")
    show(pl.concat(tables), format_)


@index.command("list", params=[store_argument()])
@click.option("--models", default="*", show_default=True, help="Glob over names.")
@format_option
def list_(store: str, models: str, format_: str) -> None:
    """List indexes: kind, bytes, recall, and whether they are of the embeddings that are there.

    \b
    Example:
      embedstore index list clip.store --models 'vit-*'
    """
    from embedstore.index.catalogue import indexes_table
    from embedstore.store import Store

    nothing = f"no index in {store} matches; build one with: embedstore index build"
    show(indexes_table(Store.open(store), models), format_, empty=nothing)


@index.command(params=[store_argument()])
@model_option
@click.option("--data", default="*", metavar="GLOB", help="Over data sets and text sets.")
@click.option("--kind", type=click.Choice(KINDS), help="Only of that kind.")
@click.option("--metric", type=click.Choice(["ip", "l2"]), help="Only of that metric.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(
    store: str,
    model: str,
    data: str,
    kind: str | None,
    metric: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove indexes; the embeddings stay.

    \b
    Examples:
      embedstore index rm clip.store --model vit --data imagenet-train
      embedstore index rm clip.store --model vit --kind ivfpq --yes
    """
    from embedstore.index.catalogue import removable_indexes, remove_indexes
    from embedstore.store import Store

    opened = Store.open(store)
    places = removable_indexes(opened, model, data, kind or "*", metric or "*")
    for place in places:
        click.echo(place.folder)
    if dry_run:
        return
    if not yes:
        click.confirm("Remove these?", abort=True, err=True)
    remove_indexes(opened, places)


def _near_queries(
    search: Search, words: Sequence[str], images: Sequence[str], k: int, reporter: Progress
) -> pl.DataFrame:
    from embedstore.encode.queries import embed_queries
    from embedstore.index.answers import answers
    from embedstore.index.exact import check_k

    subject = search.subject
    check_k(k, subject.n_rows)  # before a model is loaded
    embeddings = embed_queries(
        subject.store, subject.model, texts=words, images=images, progress=reporter
    )
    return answers(subject, search.nearest(embeddings, k), [*words, *images])


def _samples_dataset(subject: Subject, data: str | None) -> str:
    """Return the data set that samples are of: the one searched, or that of the captions."""
    if subject.part == "images":
        return subject.name
    dataset = data or subject.store.texts(subject.name)[0].dataset
    if not dataset:
        raise click.UsageError("name the data set of --sample: --data DATASET")
    return dataset
