"""The zoo: every model that open_clip and timm offer, and the six factors of those of the study.

`models.csv` beside this module holds a line a model; people keep it, and a test compares its names
with those of the installed libraries. The zoo knows no library and loads no model.

Conventions. `n_parameters` counts all towers and heads, `n_image_parameters` the image tower (of a
classifier: all of it). `patch` is empty where nothing is cut into patches. `resolution` is what the
model is given unless told otherwise, in pixels. Training distribution, samples and loss are those
of *pre-training*; what came after is `fine_tuning`. Sizes of training sets and samples seen are
those that their authors state, rounded as they round them; epochs become samples seen.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from embedstore import schema
from embedstore.errors import UnknownNameError

#: The groups of the study, in its order; other models have none.
GROUPS = ("zero-shot", "clip-ft", "imagenet", "pretrained", "contrastive", "lmm")

#: Columns of the data file, and of what :func:`models` returns.
COLUMNS = MappingProxyType(
    {
        "name": pl.String,  # of its folder in a store, unless the user gives another
        "spec": pl.String,  # what --model takes
        "group": pl.String,  # of GROUPS; null for models that are not in the study
        **schema.FACTORS,
        "n_image_parameters": pl.Int64,
        "vision_encoder": pl.String,  # SPEC of a language model's encoder
        "imagenet_top1": pl.Float64,  # published accuracy, a fraction
        "imagenet_top1_source": pl.String,
        "note": pl.String,  # what to know before using it
    }
)

#: The data file.
DATA = Path(str(files("embedstore.zoo").joinpath("models.csv")))


def models(group: str | None = None) -> pl.DataFrame:
    """Return the zoo, a row a model, columns `COLUMNS`; those of one group if it is given.

    Raises
    ------
    UnknownNameError
        If there is no such group.
    """
    if group is None:
        return _models()
    if group not in GROUPS:
        raise UnknownNameError("group of the zoo", group, GROUPS)
    return _models().filter(pl.col("group") == group)


def find(model: str) -> dict[str, Any] | None:
    """Return a model's row by SPEC or name, or None where the zoo has no such model.

    Parameters
    ----------
    model
        A SPEC in any form that loads the same weights: `open_clip:ViT-L/14/openai`; a timm name
        without its tag, where there is but one; with options of the transform, of which
        `input_size` becomes the row's resolution. Other weights (`?checkpoint=`) are another
        model. Or a name of the column `name`, or a SPEC without its kind.
    """
    spec, _, query = model.partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&"))
    row = None if "checkpoint" in options else _index().get(_canonical(spec))
    if row is None:
        return None
    size = options.get("input_size", "")
    return row | {"resolution": int(size)} if size.isdigit() else dict(row)


def factors(model: str) -> dict[str, Any]:
    """Return the factors that are known of a model, by `schema.FACTORS`; none of an unknown one."""
    row = find(model) or {}
    return {name: row[name] for name in schema.FACTORS if row.get(name) is not None}


def to_csv(frame: pl.DataFrame) -> str:
    """Return the data file of a zoo: groups in their order, the others last, then by SPEC."""
    order = pl.col("group").replace_strict(
        {group: i for i, group in enumerate(GROUPS)}, default=len(GROUPS), return_dtype=pl.Int8
    )
    return frame.select(*COLUMNS).sort(order, "spec").write_csv()


@cache
def _models() -> pl.DataFrame:
    return pl.read_csv(DATA, schema=dict(COLUMNS))


@cache
def _index() -> dict[str, dict[str, Any]]:
    """Rows by every way to name them: full ones win over short, and ambiguous ones are none."""
    rows = list(_models().iter_rows(named=True))
    index: dict[str, dict[str, Any]] = {}
    ambiguous = set()
    for row in rows:
        rest = row["spec"].partition(":")[2]
        short = {rest}
        if row["spec"].startswith("timm:"):
            short.add(f"timm:{rest.partition('.')[0]}")
        ambiguous |= short & index.keys()
        index |= dict.fromkeys(short, row)
    for name in ambiguous:
        del index[name]
    return index | {row[key]: row for row in rows for key in ("name", "spec")}


def _canonical(spec: str) -> str:
    """Write an open_clip architecture as open_clip lists it: ViT-L/14/TAG is ViT-L-14/TAG."""
    kind, _, rest = spec.partition(":")
    architecture, slash, tag = rest.rpartition("/")
    if kind == "open_clip" and slash:
        return f"{kind}:{architecture.replace('/', '-')}/{tag}"
    return spec
