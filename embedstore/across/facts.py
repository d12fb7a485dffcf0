"""What is known of models: the group of the study and the six factors of design."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import polars as pl

from embedstore import schema, zoo
from embedstore.store import Store

#: Columns of what is known of a model.
FACTS = MappingProxyType({"group": pl.String, **schema.FACTORS})


def stored_facts(store: Store, models: Iterable[str]) -> pl.DataFrame:
    """Return what is known of a store's models: `model`, then columns `FACTS`, a row a model.

    Factors are those of a model's record; its group is the zoo's, by SPEC or by name.
    """
    rows = []
    for name in models:
        record = store.model(name)
        known = zoo.find(record.spec) or zoo.find(name) or {}
        rows.append({"model": name, "group": known.get("group"), **record.factors})
    return _table("model", rows)


def facts_of_specs(specs: Iterable[str | None]) -> pl.DataFrame:
    """Return what the zoo knows of models: `spec`, then columns `FACTS`, a row a different SPEC."""
    known = ((spec, zoo.find(spec) or {}) for spec in dict.fromkeys(specs) if spec)
    return _table("spec", [{**row, "spec": spec} for spec, row in known])


def _table(key: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    columns = {key: pl.String, **FACTS}
    return pl.DataFrame({c: [row.get(c) for row in rows] for c in columns}, schema=columns)
