"""`embedstore demo`."""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.command()
@click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default="embedstore-demo"
)
def demo(folder: Path) -> None:
    """Encode real photographs with real models, and look at the answers.

    The photographs of scikit-image are encoded by EfficientNet-Lite0 and by a zero-shot image-text
    model that is assembled from it and a sentence encoder: no download, about a minute.

    \b
    Example:
      embedstore demo
    """
    from cli.progress import duration, progress
    from cli.tables import show
    from embedstore import analysis
    from embedstore.demo import story

    began = time.monotonic()
    with progress() as reporter:
        reporter.notice("assembling the image-text model")
        made = story.prepare(folder)
        store = story.encode_all(made, reporter)
    _title("What the models see")
    show(story.sights(store), "table")
    _title("Zero-shot accuracy over the photographs' own names")
    columns = ("model", "dataset", "head", "n_samples", "top1_accuracy", "top1_low", "top1_high")
    accuracy = analysis.run("accuracy", store, models=story.IMAGE_TEXT)
    show(accuracy.select(columns), "table")
    _title("Photographs nearest to a text (cosine)")
    near, n_first = story.found(store)
    show(near, "table")
    n_captions = store.dataset(story.DATASET).n_samples
    click.echo(f"{n_first} of {n_captions} captions find their own photograph first.")
    _title(f"Done in {duration(time.monotonic() - began)}; the store is {made.store}. Next:")
    click.echo(
        f"  embedstore info {made.store}\n"
        f"  embedstore verify {made.store}\n"
        f"  embedstore analyze accuracy {made.store} --format json\n"
        f"  embedstore index search {made.store} --model image-text --data photographs \\\n"
        f"      --text 'a photo of a coffee cup.' --sample cat/chelsea -k 3\n"
        f"  embedstore encode {made.store} --model image-text=open_clip:{made.model} \\\n"
        f"      --data photographs=folder:{made.pictures} --prompts name\n"
        "The last encodes 17 names and no picture: what is in the store is not computed again."
    )


def _title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)
