"""The record of a model whose results come from others."""

from __future__ import annotations

from collections.abc import Mapping

from embedstore import zoo
from embedstore.errors import IdentityError
from embedstore.store import Store, layout
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.records import read_record, write_record

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
        D, where embeddings or a head are imported; 0 where it is not known. A model that is
        known by logits or predictions alone learns it.
    origin
        Name and digest of the first file.

    Raises
    ------
    IdentityError
        If the store has a model of that name that was run here, or one of another D.
    """
    if name in store.models:
        found = store.model(name)
        if dict(found.identity) != IDENTITY:
            raise IdentityError(
                f"model {name!r} was run here ({found.spec}), and nothing says that the imported "
                "results are of the same weights; give these another name: --model NAME"
            )
        return _with_dimension(store, found, embedding_dim)
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


def spec_notices(record: ModelRecord, spec: str | None) -> list[str]:
    """Say so where a SPEC that is given adds nothing to a model's record."""
    if spec is not None and record.spec != spec:
        return [
            f"model {record.name!r} stays recorded as {record.spec!r}: --spec counts at its first "
            "import; remove the model first, or name it otherwise"
        ]
    if spec is not None and not record.factors:
        return [f"nothing is known of {spec!r}, so its factors are null: see embedstore zoo list"]
    return []


def _with_dimension(store: Store, found: ModelRecord, dim: int) -> ModelRecord:
    if dim in (0, found.embedding_dim):
        return found
    if found.embedding_dim:
        raise IdentityError(
            f"model {found.name!r} has embeddings of {found.embedding_dim} numbers in the store, "
            f"these are of {dim}; give them another name: --model NAME"
        )
    key = layout.model_record(found.name)
    body = read_record(store.files.read(key), key)
    store.files.replace(key, write_record({**body, "embedding_dim": dim}))
    return store.model(found.name)


def _factors(name: str, spec: str | None) -> dict[str, object]:
    """Return what the zoo knows of a SPEC, or of a model under its full name there."""
    known = zoo.find(spec or name)
    if known is None or (spec is None and known["name"] != name):
        return {}
    return zoo.factors(spec or known["spec"])
