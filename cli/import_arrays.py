"""`embedstore import embeddings`, `import logits` and `import heads`."""

from __future__ import annotations

from pathlib import Path

import click

from cli.arguments import store_argument
from cli.import_options import dataset_option, model_option, say

file_option = click.option(
    "--file",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    help="The arrays: .npy, .npz or safetensors; pickled files are refused.",
)
array_option = click.option(
    "--array", metavar="NAME", help="Of the array or column, where there are several."
)
ids_option = click.option(
    "--ids",
    metavar="FILE|COLUMN",
    help="Ids of the rows: a file (FILE:COLUMN names its column), or a column of the same file.",
)
order_option = click.option(
    "--rows",
    "order",
    type=click.Choice(["as-samples", "sorted-ids"]),
    help="The order of rows that have no ids: as the store's samples, or as their sorted names.",
)
classes_option = click.option(
    "--classes",
    metavar="imagenet|FILE",
    help="The classes, in their order.  [default: the data set's, or ImageNet's]",
)


@click.command(params=[store_argument()])
@model_option
@dataset_option
@click.option(
    "--file",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    help="Arrays (.npy, .npz, safetensors), Parquet with lists, or clip-retrieval's folder.",
)
@ids_option
@order_option
@click.option(
    "--layout",
    type=click.Choice(["auto", "npy", "clip-retrieval", "parquet"]),
    default="auto",
    show_default=True,
    help="What the file is; told by its content.",
)
@array_option
@click.option(
    "--classes", metavar="imagenet|FILE", help="Of a data set that is made of the rows' ids."
)
def embeddings(
    store: str,
    model: str,
    dataset: str,
    file: Path,
    ids: str | None,
    order: str | None,
    layout: str,
    array: str | None,
    classes: str | None,
) -> None:
    """Bring in image embeddings: a run that no analysis can tell from an encoded one.

    Rows are joined to samples by id. A data set that the store does not have is made of the ids.

    \b
    Examples:
      embedstore import embeddings clip.store --model b32 --dataset imagenet --file emb.npy \\
          --ids names.txt
      embedstore import embeddings clip.store --model b32 --dataset laion --file clip-output/
    """
    from cli.progress import progress
    from embedstore.importers.embeddings import import_embeddings, read_embeddings
    from embedstore.importers.opening import opened
    from embedstore.prompts import class_list

    given = read_embeddings(file, layout, array)
    named = class_list(classes) if classes else None
    with opened(store) as target, progress() as shown:
        shown.begin(f"{model}: {dataset}", given.images.shape[0], unit="rows")
        report = import_embeddings(
            target, given, model, dataset, ids=ids, order=order, classes=named,
            advance=shown.advance,
        )  # fmt: skip
        shown.end()
    say(report, f"embedstore import heads {store} --model {model} --file HEAD.safetensors")


@click.command(params=[store_argument()])
@model_option
@dataset_option
@file_option
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="A label for each row (.npy, .txt, a table): makes the data set, or is compared with it.",
)
@classes_option
@click.option("--head", default="imported", show_default=True, help="What to call their source.")
@ids_option
@order_option
@array_option
def logits(
    store: str,
    model: str,
    dataset: str,
    file: Path,
    labels: Path | None,
    classes: str | None,
    head: str,
    ids: str | None,
    order: str | None,
    array: str | None,
) -> None:
    """Bring in logits; outcomes are computed at once, from the numbers as given.

    Rows are joined to samples by id. A data set that the store does not have is made of the labels.

    \b
    Examples:
      embedstore import logits clip.store --model b32 --dataset imagenet --file logits.npy \\
          --labels labels.csv
      embedstore import logits clip.store --model b32 --dataset imagenet-r --file logits.npz \\
          --classes imagenet --ids names.txt
    """
    from cli.progress import progress
    from embedstore.importers.logits import USUAL, Target, import_logits
    from embedstore.importers.matrices import read_matrix
    from embedstore.importers.opening import opened
    from embedstore.prompts import class_list

    matrix = read_matrix(file, array, USUAL, "logits")
    named = class_list(classes) if classes else None
    with opened(store) as target, progress() as shown:
        shown.begin(f"{model}: {dataset}", matrix.shape[0], unit="rows")
        report = import_logits(
            target, matrix, Target(model, dataset, head), labels=labels, classes=named, ids=ids,
            order=order, advance=shown.advance,
        )  # fmt: skip
        shown.end()
    say(report, f"embedstore analyze accuracy {store} --models {model}")


@click.command(
    params=[store_argument()],
    short_help="Bring in a classifier over a model's embeddings, such as CoOp's.",
)
@model_option
@file_option
@click.option("--name", help="What to call the head.  [default: the file's name]")
@click.option("--weights", metavar="NAME", help="The array of weights, (classes, embedding).")
@click.option("--bias", metavar="NAME", help="The array of biases, where there is one.")
@click.option(
    "--scale", type=float, help="What logits are multiplied by.  [default: the file's, 1]"
)
@click.option(
    "--normalize/--no-normalize",
    default=None,
    help="Bring embeddings to unit length first.  [default: as the file says]",
)
@classes_option
def heads(
    store: str,
    model: str,
    file: Path,
    name: str | None,
    weights: str | None,
    bias: str | None,
    scale: float | None,
    normalize: bool | None,
    classes: str | None,
) -> None:
    """Bring in a classifier over a model's embeddings: CoOp, MaPLe, FLYP, a linear layer.

    \b
    Examples:
      embedstore import heads clip.store --model b32 --name coop --file coop.safetensors \\
          --weights text_features --scale 100 --normalize
      embedstore import heads clip.store --model b32 --name probe --file probe.npz --no-normalize
    """
    from embedstore.importers.arrays import open_arrays
    from embedstore.importers.heads import Parts, import_head
    from embedstore.importers.opening import opened
    from embedstore.prompts import class_list

    arrays = open_arrays(file)
    named = class_list(classes) if classes else None
    parts, name = Parts(weights, bias, scale, normalize), name or file.name.partition(".")[0]
    with opened(store) as target:
        report = import_head(target, arrays, model, name, parts=parts, classes=named)
    say(report, f"embedstore head apply {store} --model {model} --head {name} --data DATASET")


def add_to(group: click.Group) -> None:
    """Add these commands to `embedstore import`."""
    for command in (embeddings, logits, heads):
        group.add_command(command)
