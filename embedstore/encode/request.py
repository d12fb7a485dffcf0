"""What a user asks of the encoder, and what it will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from embedstore.accelerate import n_threads
from embedstore.datasets.sources import Source
from embedstore.encode.answers.questions import Questions
from embedstore.encode.device import PRECISIONS
from embedstore.encode.patches import selectors
from embedstore.errors import EmbedStoreError, InvalidNameError, UnknownNameError
from embedstore.models import ANSWERING, LOADERS, parse
from embedstore.prompts import ClassList, Prompts
from embedstore.store.names import checked_name

#: Rows of a block: what a killed run loses at most. A CPU takes a minute for as many.
BLOCK_ROWS = {"cpu": 1024, "cuda": 8192}
BATCH_ROWS = {"cpu": 32, "cuda": 256}
LOGITS = "logits"
#: What a run leaves in the store; the last may be done without, being made of embeddings again.
KEPT = ("embeddings", "outcomes", LOGITS)


@dataclass(frozen=True, slots=True)
class Options:
    """How to encode; `auto` values are chosen by the device."""

    precision: str = "auto"
    device: str = "auto"
    batch_size: int | None = None  # pictures that go through the model at once
    block_rows: int | None = None  # pictures that a killed run loses at most
    workers: int | None = None  # decoding processes
    limit: int | None = None  # pictures of each data set, evenly spaced over it
    compile: bool = False  # torch.compile
    decode: str = "cpu"  # where JPEGs are decoded: cpu or gpu
    patches: Sequence[str] = ()  # layers whose patch features are kept: last, 3, -2
    keep: Sequence[str] = KEPT  # what is stored besides patches; only logits may be left out

    @property
    def keeps_logits(self) -> bool:
        """Whether logits are stored, or outcomes are all that is left of them."""
        return LOGITS in self.keep


@dataclass(frozen=True, slots=True)
class Request:
    """Models over data sets, with prompts.

    Raises
    ------
    EmbedStoreError
        If a name is no folder name or stands twice, or a precision or kind of model is unknown:
        before any picture is read.
    """

    models: Sequence[tuple[str, str]]  # (name, SPEC)
    data: Sequence[tuple[str, Source]]  # (name, source)
    prompts: Sequence[Prompts]  # heads of models with a text tower
    classes: ClassList | None = None  # instead of each data set's own
    options: Options = Options()
    questions: Questions | None = None  # for language models

    def __post_init__(self) -> None:
        _check_names("model", "--model NAME=SPEC", [name for name, _ in self.models])
        _check_names("data set", "--data NAME=SOURCE", [name for name, _ in self.data])
        for _, spec in self.models:
            kind = parse(spec).kind
            if kind not in LOADERS and kind not in ANSWERING:
                raise UnknownNameError("model kind", kind, [*LOADERS, *ANSWERING])
        if self.options.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.options.precision, PRECISIONS)
        selectors(self.options.patches)
        _check_kept(self.options.keep)
        _check_asked(self)

    def answers(self, spec: str) -> bool:
        """Whether the model of a SPEC is asked questions, rather than embedding pictures."""
        return parse(spec).kind in ANSWERING


def _check_names(kind: str, remedy: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        checked_name(kind, name)
        if count > 1:
            raise InvalidNameError(
                f"two {kind}s are named {name!r}; give each a name of its own: {remedy}"
            )


def _check_kept(keep: Sequence[str]) -> None:
    for name in keep:
        if name not in KEPT:
            raise UnknownNameError("part to keep", name, KEPT)
    for name in KEPT:
        if name not in keep and name != LOGITS:
            raise EmbedStoreError(
                f"{name} are always kept, and only logits may be left out; write --keep "
                "embeddings,outcomes"
            )


def _check_asked(request: Request) -> None:
    """Refuse questions without a language model, and the other way about."""
    asked = [spec for _, spec in request.models if request.answers(spec)]
    if asked and request.questions is None:
        raise EmbedStoreError(
            f"{asked[0]} answers questions; say which with --protocol two-options (and "
            "--reference-head MODEL@HEAD), letters-N or n-way-N"
        )
    if request.questions is not None and not asked:
        raise EmbedStoreError(
            f"protocol {request.questions.protocol.name!r} asks a language model; add --model "
            "llava:DIRECTORY_OR_ID, or leave out --protocol"
        )
    if asked and (request.options.compile or request.options.decode == "gpu"):
        option = "--compile" if request.options.compile else "--decode gpu"
        raise EmbedStoreError(f"{option} is not for language models; run {asked[0]} without it")


def n_workers(device_kind: str) -> int:
    """Return the decoding processes that serve a device best.

    Beside a GPU each core decodes. A model on the CPU uses all cores itself, and one process keeps
    up with it: on two cores ViT-B/32 in bfloat16 runs at .97 of a bare loop with one, .94 with two.
    """
    return n_threads() if device_kind == "cuda" else max(1, n_threads() // 4)


def block_rows(n_rows: int, batch_rows: int, wanted: int) -> int:
    """Return the rows of a block: whole batches, no more than the data set needs."""
    whole = -(-min(wanted, max(n_rows, 1)) // batch_rows)
    return whole * batch_rows


def limited_name(name: str, n_rows: int, n_whole: int) -> str:
    """Return the name of a data set of which `n_rows` pictures of `n_whole` are taken."""
    return name if n_rows == n_whole else f"{name}--limit-{n_rows}"
