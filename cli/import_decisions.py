"""`embedstore import predictions` and `import answers`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.arguments import store_argument
from cli.import_options import (
    Option,
    dataset_option,
    file_option,
    id_option,
    model_option,
    say,
    spaces_option,
)

if TYPE_CHECKING:
    from embedstore.importers.predictions import Target

LAYOUTS = ("columns", "model-vs-human", "vlm-shapebias")
PROTOCOLS = ("imagenet-1000", "names-16", "letters-16", "human")

spec_option: Option = click.option(
    "--spec", help="What would run the model, such as timm:resnet50.a1_in1k: gives its factors."
)
prediction_option: Option = click.option(
    "--prediction", metavar="COLUMN", help="Class index, id or name.  [default: by usual names]"
)
confidence_option: Option = click.option(
    "--confidence", metavar="COLUMN", help="From 0 to 1.  [default: by usual names, if there]"
)
head_option: Option = click.option(
    "--head", default="", metavar="NAME", help="Name of the head.  [default: protocol or imported]"
)


@click.command(params=[store_argument()])
@model_option
@dataset_option
@file_option
@click.option("--layout", type=click.Choice(LAYOUTS), default="columns", show_default=True)
@id_option
@prediction_option
@confidence_option
@click.option(
    "--allow-missing-confidence", is_flag=True, help="Keep NaN or empty confidences as unknown."
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help="How classes were asked for; needed for decisions.",
)
@head_option
@spaces_option
@spec_option
def predictions(
    store: str,
    model: str,
    dataset: str,
    file: Path,
    layout: str,
    id_: str | None,
    prediction: str | None,
    confidence: str | None,
    allow_missing_confidence: bool,
    **target: Any,
) -> None:
    """Bring in one prediction a sample: outcomes without logits, so without NLL.

    \b
    Examples:
      embedstore import predictions clip.store --model vit --dataset imagenet \\
          --file predictions-ViT.csv.gz
      embedstore import predictions clip.store --model resnet50 --dataset cue-conflict \\
          --file resnet50.csv --layout model-vs-human --protocol imagenet-1000
    """
    from embedstore.importers.decisions import Columns
    from embedstore.importers.predictions import import_predictions
    from embedstore.importers.tables import read_table
    from embedstore.store import Store

    say(
        import_predictions(
            Store.open(store),
            read_table(file),
            _target(model, dataset, **target),
            columns=Columns(id_, prediction, confidence),
            layout_name=layout,
            allow_missing=allow_missing_confidence,
        ),
        f"embedstore analyze accuracy {store}",
    )


@click.command(
    params=[store_argument()],
    short_help="Bring in a language model's answers, as text and as outcomes.",
)
@model_option
@dataset_option
@file_option
@click.option(
    "--protocol", required=True, metavar="P", help="How it was asked, such as letters-16."
)
@click.option(
    "--layout",
    type=click.Choice(["columns", "vlm-shapebias"]),
    default="columns",
    show_default=True,
)
@id_option
@prediction_option
@confidence_option
@click.option("--answer", metavar="COLUMN", help="The answer as parsed, such as a letter.")
@click.option("--text", metavar="COLUMN", help="The answer as it was given.")
@head_option
@spaces_option
@spec_option
def answers(
    store: str,
    model: str,
    dataset: str,
    file: Path,
    layout: str,
    id_: str | None,
    prediction: str | None,
    confidence: str | None,
    answer: str | None,
    text: str | None,
    **target: Any,
) -> None:
    """Bring in a language model's answers, and the classes that they stand for as outcomes.

    Columns question, options, option_classes, scores, scores_per_token, order, answer and text are
    kept where the file has them. Options that are names or ids of classes need no option_classes. A
    sample that was asked about in several orders has a row for each.

    \b
    Example:
      embedstore import answers clip.store --model llava --dataset cue-conflict \\
          --file llava-1.5-7b-cue-conflict.csv --layout vlm-shapebias --protocol letters-16
    """
    from embedstore.importers.answers import AnswerColumns, import_answers
    from embedstore.importers.decisions import Columns
    from embedstore.importers.tables import read_table
    from embedstore.store import Store

    say(
        import_answers(
            Store.open(store),
            read_table(file),
            _target(model, dataset, **target),
            columns=Columns(id_, prediction, confidence),
            answer_columns=AnswerColumns(answer, text),
            layout_name=layout,
        ),
        f"embedstore analyze accuracy {store}",
    )


def _target(model: str, dataset: str, protocol: str | None, **rest: Any) -> Target:
    from embedstore.importers.predictions import Target

    return Target(model, dataset, protocol=protocol or "", **rest)


def add_to(group: click.Group) -> None:
    """Make them commands of the group."""
    group.add_command(predictions)
    group.add_command(answers)
