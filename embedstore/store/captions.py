"""Captions: text sets whose texts belong to the samples of a data set.

Dimensions: N samples, M captions.
"""

from __future__ import annotations

from collections.abc import Sequence

from embedstore import schema
from embedstore.errors import DatasetError
from embedstore.store.contents import TextsRecord, save_texts
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import Manifest
from embedstore.store.tables import table


def caption_set(captions: str, dataset: str) -> str:
    """Return the name of the text set of a data set's captions, such as `captions-de--stamps`."""
    return f"{captions}--{dataset}"


def save_captions(
    files: LocalFiles, name: str, dataset: str, captions: Sequence[Sequence[str]]
) -> Manifest:
    """Commit a data set's captions as a text set, or find them committed.

    Parameters
    ----------
    files, name, dataset
        Where they belong.
    captions
        (N,) lists of texts, some perhaps empty: M texts in all.

    Raises
    ------
    DatasetError
        If there is not a single text.
    """
    columns = {
        "text": [text for texts in captions for text in texts],
        "sample_index": [row for row, texts in enumerate(captions) for _ in texts],
    }
    if not columns["text"]:
        raise DatasetError(
            f"captions {name!r} of data set {dataset!r} hold no text; leave them out, or take more "
            "samples"
        )
    record = TextsRecord(name, "captions", (), "", (), (), dataset)
    return save_texts(files, record, table(schema.TEXTS, columns))
