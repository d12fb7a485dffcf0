"""What can be exported, and in which formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.exporters import arrays, clip_retrieval, heads, results, tables
from embedstore.exporters.files import Advance, Export, carry_out
from embedstore.exporters.selection import Chosen

CLIP_RETRIEVAL = "clip-retrieval"
_TABLES = ("parquet", "csv")
#: What, and its formats: the first is the default where the path's ending does not say.
FORMATS = {
    "outcomes": _TABLES,
    "embeddings": ("npy", CLIP_RETRIEVAL),
    "text-embeddings": ("npy",),
    "logits": ("npy",),
    "results": (*_TABLES, results.CLIP_BENCHMARK),
    "samples": _TABLES,
    "heads": ("npz", "safetensors"),
}
_WRITERS: dict[str, Callable[[Chosen, str], Export]] = {
    "outcomes": tables.outcomes,
    "embeddings": arrays.embeddings,
    "text-embeddings": arrays.text_embeddings,
    "logits": arrays.logits,
    "results": results.results,
    "samples": tables.samples,
    "heads": heads.heads,
}
_BY_ENDING = {".json": results.CLIP_BENCHMARK}
#: Endings that say what is inside: no file of another kind is written under them.
_MEANT = {*(f".{f}" for formats in FORMATS.values() for f in formats), ".json", ".jsonl", ".xlsx"}


def format_of(what: str, format_: str | None, path: Path) -> str:
    """Return the format that is asked for, or that the path's ending says, or the first.

    Raises
    ------
    EmbedStoreError
        If that cannot be written so.
    """
    if what not in FORMATS:
        raise UnknownNameError("thing to export", what, FORMATS)
    said = _BY_ENDING.get(path.suffix, path.suffix[1:])
    if format_ is None and path.suffix in _MEANT and said not in FORMATS[what]:
        raise EmbedStoreError(
            f"{what} cannot be written as {path.suffix[1:]}, as {path} ends; choose one of: "
            f"{', '.join(FORMATS[what])}, with --format or as the ending"
        )
    if format_ is None:
        return said if said in FORMATS[what] else FORMATS[what][0]
    if format_ not in FORMATS[what]:
        raise EmbedStoreError(
            f"{what} cannot be written as {format_}; choose one of: {', '.join(FORMATS[what])}"
        )
    return format_


def export(
    chosen: Chosen,
    what: str,
    format_: str | None = None,
    *,
    analysis: str = "accuracy",
    force: bool = False,
    advance: Advance = lambda _n: None,
) -> Export:
    """Write what matches to files; return which these are.

    Parameters
    ----------
    chosen
        Which models, data sets and heads, and where to: a file, or where there are several a
        folder, in which names say what is what.
    what, format_
        As in `FORMATS`.
    analysis
        Whose results, where `what` is `results`.
    force
        Replace files that are there.
    advance
        Called with the bytes written since the last call.

    Raises
    ------
    EmbedStoreError
        If nothing matches, files are there, or they cannot be written.
    """
    format_ = format_of(what, format_, chosen.path)
    write = _WRITERS[what]
    if what == "embeddings" and format_ == CLIP_RETRIEVAL:
        write = clip_retrieval.embeddings
    if what == "results":
        write = partial(results.results, name=analysis)
    planned = write(chosen, format_)
    carry_out(planned, force=force, advance=advance)
    return planned
