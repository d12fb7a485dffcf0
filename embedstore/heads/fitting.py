"""Making heads in a store, offline: from stored embeddings, or from other heads."""

from __future__ import annotations

from dataclasses import dataclass

from embedstore.errors import IdentityError
from embedstore.heads.class_means import ClassMean
from embedstore.heads.probes import KShot, LinearProbe
from embedstore.heads.recipes import Notice, Recipe, ignore
from embedstore.heads.stored import head_record, save_head
from embedstore.heads.tip_adapter import TipAdapter
from embedstore.heads.wise_ft import WiseFT
from embedstore.store import Store
from embedstore.store.names import checked_name

#: Every kind of head that is made offline.
RECIPES: dict[str, type[Recipe]] = {
    recipe.kind: recipe for recipe in (LinearProbe, KShot, TipAdapter, ClassMean, WiseFT)
}


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a call of :func:`fit_head` did."""

    model: str
    head: str
    already: bool  # whether the head was there, made in the same way


def fit_head(store: Store, model: str, recipe: Recipe, notice: Notice = ignore) -> FitReport:
    """Make a head and commit it, unless it is there.

    Parameters
    ----------
    store, model
        Where.
    recipe
        What: ``LinearProbe(dataset="imagenet")``, ``KShot(dataset="pets", shots=4)``,
        ``TipAdapter(...)``, ``ClassMean(...)``, ``WiseFT(start="photo--imagenet", end="probe")``.
    notice
        Told what happens, a line at a time.

    Raises
    ------
    IdentityError
        If the model has a head of that name that was made in another way.
    EmbedStoreError
        If the samples do not suffice; see each recipe.
    """
    name = checked_name("head", recipe.head_name)
    if is_made(store, model, recipe):
        return FitReport(model, name, already=True)
    inputs = recipe.inputs(store, model)
    made = recipe.make(store, model, notice)
    origin = {
        "kind": recipe.kind,
        "settings": recipe.settings(),
        "inputs": inputs,
        "facts": dict(made.facts),
    }
    save_head(store, model, name, made.head, origin, made.fitted)
    return FitReport(model, name, already=False)


def is_made(store: Store, model: str, recipe: Recipe) -> bool:
    """Whether the model has the head, made by this very recipe of these very inputs.

    Raises
    ------
    IdentityError
        If it has another one of that name.
    """
    store.model(model)
    name, inputs = recipe.head_name, recipe.inputs(store, model)
    if name not in store.heads(model):
        return False
    origin = head_record(store, model, name)["origin"]
    wanted = {"kind": recipe.kind, **recipe.settings(), **inputs}
    found = {
        "kind": origin.get("kind"),
        **origin.get("settings", {}),
        **origin.get("inputs", {}),
    }
    for key in ("kind", *sorted({*wanted, *found} - {"kind"})):
        if wanted.get(key) != found.get(key):
            raise IdentityError(
                f"model {model!r} has a head {name!r} made with another {key} "
                f"({_short(found.get(key))}, now {_short(wanted.get(key))}); give this one another "
                f"name, --name NAME, or remove that one: embedstore head rm STORE --model {model} "
                f"--head {name}"
            )
    return True


def _short(value: object) -> str:
    return str(value)[:12]
