"""`embedstore import`: what others computed."""

from __future__ import annotations

import click

from cli import import_arrays, import_decisions, import_pairs, import_tables


@click.group("import")
def import_() -> None:
    """Bring in what others computed: tables, arrays, heads, pairs.

    Tables are CSV, JSON lines, JSON or Parquet, each perhaps with gzip. Rows are joined to samples
    by id, never by their order.
    """


import_tables.add_to(import_)
import_decisions.add_to(import_)
import_arrays.add_to(import_)
import_pairs.add_to(import_)
