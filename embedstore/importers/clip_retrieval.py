"""Folders that clip-retrieval's `clip inference` writes: parts of embeddings, and what they are.

`img_emb/img_emb_0.npy` holds a row for each row of `metadata/metadata_0.parquet` (`image_path`,
`caption`, whatever else was at hand), `text_emb/text_emb_0.npy` the embeddings of the captions
(https://github.com/rom1504/clip-retrieval, clip_inference/writer.py).

Dimensions: R rows of all parts.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars as pl

from embedstore.errors import DatasetError
from embedstore.importers.matrices import Matrix, joined, read_matrix
from embedstore.importers.tables import Table, read_table

IMAGES, TEXTS, METADATA = "img_emb", "text_emb", "metadata"
CAPTION = "caption"


def is_clip_retrieval(path: Path) -> bool:
    """Whether a folder is laid out so."""
    return (path / IMAGES).is_dir()


def read_images(path: Path) -> Matrix:
    """Return the image embeddings of all parts, their metadata beside them.

    Raises
    ------
    DatasetError
        If there are none, or a part's rows differ from its metadata's.
    """
    matrix = _read(path, IMAGES)
    if matrix is None:
        raise DatasetError(
            f"{path} has no {IMAGES}/{IMAGES}_0.npy; name the folder that clip inference wrote"
        )
    return replace(matrix, beside=_metadata(path, matrix))


def read_captions(path: Path, images: Matrix) -> Matrix | None:
    """Return the embeddings of the captions, row by row those of the images; None if not there."""
    matrix = _read(path, TEXTS)
    if matrix is not None and [len(p.array) for p in matrix.parts] != [
        len(p.array) for p in images.parts
    ]:
        raise DatasetError(
            f"{path / TEXTS} has other rows than {path / IMAGES}; parts are missing: copy all"
        )
    return matrix


def _read(path: Path, kind: str) -> Matrix | None:
    parts = _parts(path / kind, f"{kind}_", ".npy")
    if not parts:
        return None
    return joined(path, [read_matrix(part, None, (), "embeddings") for part in parts])


def _metadata(path: Path, images: Matrix) -> Table | None:
    parts = _parts(path / METADATA, f"{METADATA}_", ".parquet")
    if not parts:
        return None
    if len(parts) != len(images.parts):
        raise DatasetError(
            f"{path / IMAGES} has {len(images.parts)} parts and {path / METADATA} {len(parts)}; "
            "copy all of both"
        )
    tables = [read_table(part) for part in parts]
    for table, part in zip(tables, images.parts, strict=True):
        n_rows = int(table.lazy.select(pl.len()).collect().item())
        if n_rows != len(part.array):
            raise DatasetError(
                f"{table.path} has {n_rows:,} rows, its part of {IMAGES} {len(part.array):,}; one "
                "of the two is cut short: copy it again"
            )
    rows = pl.concat([t.lazy for t in tables], how="diagonal_relaxed")
    columns = tuple(rows.collect_schema().names())
    return Table(path / METADATA, images.digest, rows, columns)


def _parts(folder: Path, prefix: str, ending: str) -> list[Path]:
    """Return a folder's parts by their numbers: 10 after 9, padded with zeros or not."""
    found = {}
    for path in folder.glob(f"{prefix}*{ending}"):
        number = path.name.removeprefix(prefix).removesuffix(ending)
        if re.fullmatch(r"\d+", number):
            found[int(number)] = path
    return [found[number] for number in sorted(found)]
