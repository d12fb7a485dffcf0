"""`embedstore import samples` and `import annotations`."""

from __future__ import annotations

from pathlib import Path

import click

from cli.arguments import store_argument
from cli.import_options import dataset_option, file_option, id_option, say, spaces_option


@click.command(params=[store_argument()])
@dataset_option
@file_option
@id_option
@click.option("--label", metavar="COLUMN", help="Class index, id or name; may be empty.")
@click.option(
    "--classes", metavar="imagenet|FILE", help="The classes.  [default: those that occur]"
)
@click.option(
    "--layout",
    type=click.Choice(["columns", "cue-conflict"]),
    default="columns",
    show_default=True,
    help="cue-conflict: shape and texture are in the names of the pictures.",
)
@spaces_option
def samples(
    store: str,
    dataset: str,
    file: Path,
    id_: str | None,
    label: str | None,
    classes: str | None,
    layout: str,
    spaces: tuple[str, ...],
) -> None:
    """Make a data set from a table, without pictures; other columns become annotations.

    Ids lose a picture's ending. Without pictures it is another data set than the encoded one.

    \b
    Examples:
      embedstore import samples clip.store --dataset imagenet --file filename_label.csv \\
          --id file_name --label label
      embedstore import samples clip.store --dataset cue-conflict --layout cue-conflict \\
          --file resnet50.csv
    """
    from embedstore.importers.opening import opened
    from embedstore.importers.samples import import_samples
    from embedstore.importers.tables import read_table
    from embedstore.prompts import class_list

    table = read_table(file)
    named = class_list(classes) if classes else None
    with opened(store) as target:
        report = import_samples(
            target,
            table,
            dataset,
            id_column=id_,
            label_column=label,
            classes=named,
            layout=layout,
            spaces=spaces,
        )
    say(report)


@click.command("annotations", params=[store_argument()])
@dataset_option
@file_option
@id_option
@click.option("--columns", metavar="A,B,...", help="Which columns.  [default: all]")
@click.option("--name", metavar="NAME", help="Of the annotations.  [default: the file's]")
@click.option("--prefix", default="", metavar="P", help="Put before each column's name.")
@click.option(
    "--rows",
    type=click.Choice(["sorted-ids", "as-samples"]),
    help="For a file without ids: its rows are in the order of the sorted file names, or in that "
    "of the data set in the store.",
)
def annotations_(
    store: str,
    dataset: str,
    file: Path,
    id_: str | None,
    columns: str | None,
    name: str | None,
    prefix: str,
    rows: str | None,
) -> None:
    """Put columns of a table beside a data set's samples, joined by id.

    Ids that find no partner are counted and named; a sample without a row gets nulls. A file of ids
    alone is a list of samples: true for these, in a column of the name given.

    \b
    Examples:
      embedstore import annotations clip.store --dataset imagenet --id file_name \\
          --file imagenet_x_val_top_factor.jsonl --prefix top_
      embedstore import annotations clip.store --dataset imagenet --id file_name \\
          --file prototypical_paths.csv --name prototype
      embedstore import annotations clip.store --dataset imagenet --rows sorted-ids \\
          --file imagenet_real_labels.jsonl --columns real_labels
    """
    from embedstore.importers.annotations import import_annotations
    from embedstore.importers.tables import read_table
    from embedstore.store import Store

    say(
        import_annotations(
            Store.open(store),
            read_table(file),
            dataset,
            id_column=id_,
            columns=[c.strip() for c in columns.split(",")] if columns else None,
            name=name,
            prefix=prefix,
            rows=rows,
        )
    )


def add_to(group: click.Group) -> None:
    """Make them commands of the group."""
    group.add_command(samples)
    group.add_command(annotations_)
