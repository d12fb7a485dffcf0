"""The record of a model whose results come from others."""

from __future__ import annotations

from collections.abc import Mapping

from embedstore import zoo
from embedstore.errors import IdentityError
from embedstore.store import Store
from embedstore.store.contents import ModelRecord, save_model

#: All that is known of the weights of a model that was not run here.
IDENTITY = {"source": "imported"}


def imported_model(
    store: Store,
    name: str,
    *,
    spec: str | None = None,
    embedding_dim: int = 0,
    origin: Mapping[str, str] | None = None,
) -> ModelRecord:
    """Record a model of which only results are known, or find it recorded so.

    Parameters
    ----------
    store, name
        Where it belongs.
    spec
        What a user would write to run it, if that is known: its factors are the zoo's.
    embedding_dim
        D, where embeddings are imported; 0 where they are not known.
    origin
        Name and digest of the first file.

    Raises
    ------
    IdentityError
        If the store has a model of that name that was run here.
    """
    if name in store.models:
        found = store.model(name)
        if dict(found.identity) != IDENTITY:
            raise IdentityError(
                f"model {name!r} was run here ({found.spec}), and nothing says that the imported "
                "results are of the same weights; give these another name: --model NAME"
            )
        return found
    record = ModelRecord(
        name=name,
        spec=spec or "imported",
        identity=IDENTITY,
        embedding_dim=embedding_dim,
        has_text=False,
        has_own_head=False,
        provenance={"kind": "imported", **(origin or {})},
        factors=_factors(name, spec),
    )
    return save_model(store.files, record)


def _factors(name: str, spec: str | None) -> dict[str, object]:
    """Return what the zoo knows of a SPEC, or of a model under its full name there."""
    known = zoo.find(spec or name)
    if known is None or (spec is None and known["name"] != name):
        return {}
    return zoo.factors(spec or known["spec"])
