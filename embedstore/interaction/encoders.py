"""Which models of a store have answered questions, and which image encoders they see through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from embedstore import zoo
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.held_out import SUFFIX
from embedstore.labels import ALL
from embedstore.pairing import side_of
from embedstore.store import Store
from embedstore.store.answers import protocols
from embedstore.store.outcomes import OutcomeRun

_WEIGHTS = "-quickgelu"  # in a name of open_clip: an activation, not other weights
#: Option of a SPEC, and the kind of model whose preprocessing it names.
_TRANSFORM, _LLAVA = "transform", "llava:"


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """Whom, about what, and how."""

    model: str
    dataset: str
    protocol: str


def all_asked(store: Store, models: str, datasets: str, protocol: str | None) -> list[Asked]:
    """Return whose answers the store has, sorted.

    Parameters
    ----------
    store
        Where they are.
    models, datasets
        Globs over names.
    protocol
        How it was asked; all where it is None.

    Raises
    ------
    EmbedStoreError
        If there are none.
    """
    there = [asked for model in store.models for asked in asked_of(store, model)]
    if not there:
        raise EmbedStoreError(
            f"no model in {store.files.root} has answered questions; encode pictures with a "
            "language model (--model llava:ID), or bring answers in: embedstore import answers"
        )
    chosen = [a for a in there if fnmatchcase(a.model, models) and fnmatchcase(a.dataset, datasets)]
    if not chosen:
        known = ", ".join(sorted({f"{a.model} on {a.dataset}" for a in there}))
        raise EmbedStoreError(
            f"no answers of models {models!r} on data sets {datasets!r}; choose with --models and "
            f"--datasets among: {known}"
        )
    wanted = [a for a in chosen if protocol in (None, a.protocol)]
    if not wanted:
        raise UnknownNameError("protocol", str(protocol), {a.protocol for a in chosen})
    return sorted(wanted)


def asked_of(store: Store, model: str) -> list[Asked]:
    """Return what a model has answered, sorted."""
    return [
        Asked(model, dataset, protocol)
        for dataset in store.files.folders(f"models/{model}/answers")
        for protocol in protocols(store.files, model, dataset)
    ]


def own_encoder(store: Store, model: str) -> str | None:
    """Return the model of the store that has the weights of a language model's encoder, or None.

    The zoo says which weights. Of several such models one that is given the language model's own
    pixels is preferred (option `transform` of its SPEC).
    """
    spec = vision_encoder(store, model)
    if spec is None:
        return None
    specs = {name: store.model(name).spec for name in store.models}
    alike = [name for name in specs if _weights(specs[name]) == _weights(spec)]
    return min(alike, key=lambda name: (_foreign(specs[name], specs[model]), name), default=None)


def vision_encoder(store: Store, model: str) -> str | None:
    """Return the SPEC of the encoder that the zoo says a model sees through; None: it does not."""
    row: Mapping[str, Any] = zoo.find(store.model(model).spec) or zoo.find(model) or {}
    return row.get("vision_encoder")


def pixels_of(spec: str) -> str | None:
    """Return the SPEC whose preprocessing a model's SPEC asks for; None: the model's own."""
    options = dict(part.partition("=")[::2] for part in spec.partition("?")[2].split("&"))
    return options.get(_TRANSFORM)


def encoder_runs(store: Store, asked: Asked, encoder: str | None) -> list[OutcomeRun]:
    """Return what the encoder says of the same data set: one run a head, sorted.

    Runs among the data set's own classes alone, judged by its own labels, count.

    Parameters
    ----------
    store
        Where outcomes are.
    asked
        Whose encoder is meant, and on which data set.
    encoder
        MODEL or MODEL@HEAD; None takes the zoo's word.

    Raises
    ------
    EmbedStoreError
        If the encoder is not known or not there, or has no outcomes on the data set.
    """
    if encoder is not None:
        side = side_of(store, encoder)
        name, runs = side.model, list(side.runs)
    else:
        name = own_encoder(store, asked.model) or ""
        if not name:
            raise _no_encoder(store, asked)
        runs = store.outcome_runs(name)
    classes = set(store.dataset(asked.dataset).class_ids)
    found: dict[str, OutcomeRun] = {}
    own = (ALL, asked.dataset)  # names of the data set's own label space
    for run in sorted(runs, key=lambda r: (r.space.removesuffix(SUFFIX) not in own, r)):
        if run.dataset == asked.dataset and run.head not in found:
            space = store.space(run)
            if space["labels"] == "label" and set(space["class_ids"]) == classes:
                found[run.head] = run
    if not found:
        raise EmbedStoreError(
            f"{encoder or name!r} has no outcomes among the classes of {asked.dataset!r}, which "
            f"{asked.model!r} was asked about; encode it: "
            f"{_command(store, f'{name}={store.model(name).spec}', asked.dataset)}, or bring them "
            "in: embedstore import predictions"
        )
    return [found[head] for head in sorted(found)]


def _no_encoder(store: Store, asked: Asked) -> EmbedStoreError:
    spec = vision_encoder(store, asked.model)
    if spec is None:
        return EmbedStoreError(
            f"the zoo does not say which encoder {asked.model!r} ({store.model(asked.model).spec}) "
            "sees through; name a model of the store with --encoder MODEL"
        )
    return EmbedStoreError(
        f"{asked.model!r} sees through {spec}, which is not in the store; encode it: "
        f"{_command(store, spec, asked.dataset)}, or name another with --encoder MODEL"
    )


def _command(store: Store, model: str, dataset: str) -> str:
    source = store.dataset(dataset).source
    return f"embedstore encode {store.files.root} --model {model} --data {dataset}={source}"


def _weights(spec: str) -> str:
    """Return a SPEC that is the same for the same weights."""
    known = zoo.find(spec)
    return str(known["spec"] if known else spec).replace(_WEIGHTS, "")


def _foreign(spec: str, language_model: str) -> int:
    """Return how far an encoder's pixels are from those of a language model; 0: the same."""
    pixels = pixels_of(spec) or ""
    if pixels == language_model:
        return 0
    return 1 if pixels.startswith(_LLAVA) else 2
