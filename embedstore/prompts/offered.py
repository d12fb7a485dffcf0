"""What prompt sets there are: those that have names, and what files may hold."""

from __future__ import annotations

import polars as pl

from embedstore.prompts.classes import imagenet
from embedstore.prompts.sets import prompt_set
from embedstore.prompts.templates import shipped_templates
from embedstore.prompts.waffle import CHARACTERS, FORMS, WAFFLE

#: Columns of the list of prompt sets; null where it depends on what one chooses.
OFFERED = {
    "name": pl.String,
    "kind": pl.String,  # templates, generated, descriptions
    "n_templates": pl.Int64,
    "first_template": pl.String,
}


def offered() -> pl.DataFrame:
    """Return one row a prompt set or form of such, columns of `OFFERED`."""
    rows: list[tuple[str, str, int | None, str | None]] = [
        (name, "templates", len(templates), templates[0])
        for name, templates in shipped_templates().items()
    ]
    for form, kind in zip(FORMS, (WAFFLE, CHARACTERS), strict=True):
        rows.append((form, "generated", None, prompt_set(kind).templates_for(imagenet())[0]))
    rows += [
        ("FILE.txt, .json, .toml", "templates", None, None),
        ("FILE.json", "descriptions", None, None),
    ]
    return pl.DataFrame(rows, schema=OFFERED, orient="row")
