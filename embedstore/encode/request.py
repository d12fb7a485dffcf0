"""What a user asks of the encoder, and what it will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedstore.datasets.sources import Source
from embedstore.prompts import ClassList, PromptSet

#: Rows of a block: what a killed run loses at most. A CPU takes a minute for as many.
BLOCK_ROWS = {"cpu": 1024, "cuda": 8192}
BATCH_ROWS = {"cpu": 32, "cuda": 256}


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


@dataclass(frozen=True, slots=True)
class Request:
    """Models over data sets, with prompts."""

    models: Sequence[tuple[str, str]]  # (name, SPEC)
    data: Sequence[tuple[str, Source]]  # (name, source)
    prompts: Sequence[PromptSet]  # heads of models with a text tower
    classes: ClassList | None = None  # instead of each data set's own
    options: Options = Options()


def block_rows(n_rows: int, batch_rows: int, wanted: int) -> int:
    """Return the rows of a block: whole batches, no more than the data set needs."""
    whole = -(-min(wanted, max(n_rows, 1)) // batch_rows)
    return whole * batch_rows
