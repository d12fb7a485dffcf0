"""`embedstore encode`."""

from __future__ import annotations

import re
from typing import Any

import click

from cli.arguments import pair, store_argument
from cli.encode_completion import (
    complete_corruption,
    complete_decoding,
    complete_kept,
    complete_protocol,
    complete_reference,
)
from cli.tables import format_option, show

_LAYERS = re.compile(r"(last|-?\d+)(,\s*(last|-?\d+))*")


class _BarePatches(click.Command):
    """A command whose `--patches` may stand alone, and then means the last layer."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give `--patches` its value; click itself would take `-2` for an option."""
        given: list[str] = []
        for word, following in zip(args, [*args, ""][1:], strict=True):
            given.append(word)
            if word == "--patches" and not _LAYERS.fullmatch(following):
                given.append("last")
        return super().parse_args(ctx, given)


@click.command(params=[store_argument()], cls=_BarePatches)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="[NAME=]SPEC",
    help="open_clip:ARCHITECTURE/TAG, open_clip:DIRECTORY, open_clip:hf-hub:ORG/NAME, "
    "open_clip:ARCHITECTURE[/TAG]?checkpoint=FILE, timm:NAME[?checkpoint=FILE&mean=0.5&...], "
    "either with ?transform=SPEC to see pictures as llava:DIRECTORY or timm:NAME does, "
    "python:MODULE:FUNCTION, wise-ft:SPEC+SPEC@0.5; llava:DIRECTORY or llava:ORG/NAME, which wants "
    "--protocol. May be repeated.",
)
@click.option(
    "--data",
    "data",
    multiple=True,
    required=True,
    metavar="[NAME=]SOURCE",
    help="folder:PATH, webdataset:PATTERN.tar, parquet:PATTERN, csv:FILE, jsonl:FILE, "
    "corrupt:KIND:SEVERITY:SOURCE, or a preset such as imagenet-a:PATH, which may stand without "
    "NAME (see embedstore data list). May be repeated.",
)
@click.option(
    "--corrupt",
    multiple=True,
    metavar="KIND:SEVERITY",
    shell_complete=complete_corruption,
    help="Encode each data set corrupted too, as NAME--KIND--SEVERITY: fog:3, fog:1-5, fog:all. "
    "ImageNet-C's kinds; near_focus, far_focus, fog_3d where a manifest has a column depth. May "
    "be repeated.",
)
@click.option(
    "--prompts",
    multiple=True,
    metavar="SET",
    help="Prompt set of zero-shot heads: openai-80, openai-7, photo, name, waffle-15-seed-0 (see "
    "embedstore prompts list), or a file of templates or descriptions; may be repeated.  "
    "[default: openai-80]",
)
@click.option(
    "--classes",
    metavar="imagenet|imagenet-wordnet|FILE",
    help="What zero-shot heads choose among, instead of each data set's own classes.",
)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    metavar="auto|float32|bfloat16|float16",
    help="auto is float32 on a CPU, float16 on a GPU.",
)
@click.option("--batch-size", default="auto", show_default=True, metavar="N|auto")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Decoding processes.  [default: a core each beside a GPU, else one for four cores]",
)
@click.option(
    "--patches",
    multiple=True,
    metavar="[LAYER,...]",
    help="Keep patch features of layers too: last, a number from 0, or -2 from the end. Large: "
    "see --dry-run. May be repeated.",
)
@click.option(
    "--keep",
    default="embeddings,outcomes,logits",
    show_default=True,
    metavar="PART,...",
    shell_complete=complete_kept,
    help="What to store. Without logits, which are most of the bytes of many classes, they can be "
    "made of the embeddings later: encode again, or head apply.",
)
@click.option(
    "--protocol",
    metavar="two-options|letters-N|n-way-N",
    shell_complete=complete_protocol,
    help="What a language model (llava:) is asked: the true class or the strongest wrong one of "
    "--reference-head; one letter of the data set's N classes; the true class among N.",
)
@click.option(
    "--reference-head",
    metavar="MODEL@HEAD",
    shell_complete=complete_reference,
    help="Whose strongest wrong class two-options offers; a model over the same data set in the "
    "store.",
)
@click.option(
    "--decoding",
    default="likelihood",
    show_default=True,
    metavar="likelihood|greedy",
    shell_complete=complete_decoding,
    help="Whether the likeliest option is the answer, or the one that a decoded text names.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Only N pictures of each data set, evenly spaced.",
)
@click.option(
    "--block-rows",
    type=click.IntRange(1),
    metavar="N",
    help="Pictures that a killed run loses at most.  [default: 1,024; on a GPU 8,192]",
)
@click.option("--compile", "compile_", is_flag=True, help="Compile the model with torch.compile.")
@click.option(
    "--decode",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="Where JPEGs are decoded; gpu changes pixels by a level or so.",
)
@format_option
@click.option(
    "--dry-run", is_flag=True, help="Measure a few batches; say hours, bytes and what is there."
)
@click.option("--strict", is_flag=True, help="Exit with 3 if a picture could not be used.")
def encode(store: str, format_: str, **arguments: Any) -> None:
    """Run models over data sets, once, into a store.

    What is finished is left alone, what was begun is resumed.

    \b
    Examples:
      embedstore encode clip.store --model open_clip:ViT-B-32/laion2b_s34b_b79k \\
          --data imagenet-a:/data/imagenet-a --prompts openai-80
      embedstore encode clip.store --model mine=open_clip:/models/my-clip \\
          --data pets=folder:/data/pets --prompts photo --prompts name
      embedstore encode clip.store --model open_clip:ViT-B-32/laion2b_s34b_b79k \\
          --data imagenet-val:/data/imagenet-val --corrupt fog:all --corrupt snow:3
      embedstore encode clip.store --model timm:resnet50.a1_in1k --data v2=folder:/data/v2 --dry-run
      embedstore encode clip.store --model llava:llava-hf/llava-1.5-7b-hf \\
          --data imagenet-a:/data/imagenet-a --protocol two-options --reference-head CLIP@HEAD
    """
    from cli.progress import progress

    strict, dry_run = arguments.pop("strict"), arguments.pop("dry_run")
    request = _request(**arguments)
    if dry_run:
        from embedstore.encode.estimate import estimate

        with progress() as reporter:
            frame = estimate(store, request, reporter)
        show(frame, format_)
        return
    from embedstore.encode.encoder import encode as run

    with progress() as reporter:
        report = run(store, request, reporter)
    _say(store, request, report)
    if strict and report.n_failures:
        raise SystemExit(3)


def _say(store: str, request: Any, report: Any) -> None:
    """Print what was done of each run, and what comes next."""
    from embedstore.encode.report import commonest_failure

    for model, dataset in report.already:
        click.echo(f"{model} on {dataset}: already there, nothing to do", err=True)
    for done in report.encoded:
        failed = f", {done.n_failures} could not be used" if done.n_failures else ""
        click.echo(f"{done.model} on {done.dataset}: {done.n_rows} pictures{failed}", err=True)
        if done.n_failures:
            click.echo(commonest_failure(store, done, request.questions), err=True)
    if report.encoded:
        click.echo(f"next: {_next(store, request)}", err=True)


def _next(store: str, request: Any) -> str:
    """Return the command that reads what was asked for."""
    from embedstore.datasets.corrupted.source import CorruptSource
    from embedstore.datasets.presets.source import PresetSource

    if request.questions is not None:
        return f"embedstore analyze interaction {store}"
    if request.options.patches:
        return f"embedstore import pairs {store} FILE, embedstore analyze correspondence {store}"
    corrupted = any(
        isinstance(source, CorruptSource)
        or (isinstance(source, PresetSource) and source.preset.corruptions)
        for _, source in request.data
    )
    return f"embedstore analyze {'corruptions' if corrupted else 'accuracy'} {store}"


def _named_sources(text: str) -> list[tuple[str, str]]:
    """Split NAME=SOURCE; a preset has a name of its own, or stands for several data sets."""
    from embedstore.datasets.presets.source import left_out, named_sources

    name, source = pair(text, "")
    found = [(name, source)] if name else named_sources(source)
    notice = None if name else left_out(source)
    if notice:
        click.echo(notice, err=True)
    if not found:
        raise click.BadParameter(f"{text!r} must be NAME=SOURCE")
    return found


def _request(
    models: tuple[str, ...],
    data: tuple[str, ...],
    corrupt: tuple[str, ...],
    prompts: tuple[str, ...],
    classes: str | None,
    batch_size: str,
    compile_: bool,
    keep: str,
    protocol: str | None,
    reference_head: str | None,
    decoding: str,
    **options: Any,
) -> Any:
    from embedstore.datasets.corrupted.kinds import corruptions
    from embedstore.datasets.corrupted.source import with_corruptions
    from embedstore.datasets.sources import open_source
    from embedstore.encode.answers.questions import Questions
    from embedstore.encode.request import Options, Request
    from embedstore.models import default_name
    from embedstore.prompts import class_list, prompt_set

    if batch_size != "auto" and (not batch_size.isdigit() or int(batch_size) < 1):
        raise click.BadParameter(
            f"--batch-size {batch_size!r} is neither auto nor a whole number above 0"
        )
    if protocol is None and (reference_head or decoding != "likelihood"):
        raise click.BadParameter("--reference-head and --decoding go with --protocol; add it")
    named = [(name or default_name(spec), spec) for name, spec in (pair(m, "") for m in models)]
    sources = [named for text in data for named in _named_sources(text)]
    asked = [one for text in corrupt for one in corruptions(text)]
    return Request(
        models=named,
        data=[
            each
            for name, source in sources
            for each in with_corruptions(name, open_source(source), asked)
        ],
        prompts=[prompt_set(name) for name in prompts or ("openai-80",)],
        classes=class_list(classes) if classes else None,
        options=Options(
            batch_size=None if batch_size == "auto" else int(batch_size),
            compile=compile_,
            keep=tuple(part.strip() for part in keep.split(",")),
            **options,
        ),
        questions=Questions.of(protocol, reference_head, decoding) if protocol else None,
    )
