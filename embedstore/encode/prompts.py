"""Prompts through the text towers of a store's models: texts and heads, without any picture.

A text that a model has encoded for another set is copied, and where all are known, the model is not
loaded.

Dimensions: M texts, C classes, D embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from embedstore.encode.progress import Progress
from embedstore.encode.registration import prompted_classes
from embedstore.encode.stored_model import StoredModel
from embedstore.encode.texts import KnownTexts, encode_texts
from embedstore.encode.zero_shot import has_prompts, save_prompts, save_zero_shot
from embedstore.errors import EmbedStoreError, IdentityError
from embedstore.heads.zero_shot import logit_scale
from embedstore.prompts import ClassList, Prompts, TextSet, expand
from embedstore.prompts.classes import SHIPPED, spoken_name
from embedstore.store import Store, layout
from embedstore.store.names import checked_name
from embedstore.store.runs import BlockRun

#: What becomes of each text set, a row a model and set.
PROMPT_RUNS = {
    "model": pl.String,
    "texts": pl.String,  # the text set, and the head made of it
    "n_texts": pl.Int64,  # M
    "n_encoded": pl.Int64,  # that go through the model, once each
    "n_copied": pl.Int64,  # of M, from other sets or from a text of the same wording
    "state": pl.String,  # new, begun, already there
}
ALREADY = "already there"
PromptsOver = tuple[Prompts, ClassList]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a text set costs one model."""

    texts: TextSet
    classes: ClassList
    n_encoded: int
    n_copied: int
    state: str

    def row(self, model: str) -> dict[str, Any]:
        counts = (len(self.texts.texts), self.n_encoded, self.n_copied)
        return dict(zip(PROMPT_RUNS, (model, self.texts.name, *counts, self.state), strict=True))


def encode_prompts(
    store: Store,
    models: Sequence[str],
    sets: Sequence[PromptsOver],
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Encode prompts over classes with models of the store, and make the zero-shot heads.

    Parameters
    ----------
    store
        Where the models are, and texts and heads come to be.
    models
        Names, as :func:`embedstore.encode.stored_model.text_models` gives.
    sets
        Prompts, and the classes to put them to: a text set and a head each.
    device
        Of models that must be loaded.
    progress
        Told of what happens.

    Returns
    -------
    pl.DataFrame
        Columns `PROMPT_RUNS`: what was done, or there already.

    Raises
    ------
    EmbedStoreError
        If prompts and classes do not fit each other, the store has other texts of that name, or a
        model is no longer what it was: before anything is written for it.
    """
    progress = progress or Progress()
    expanded = _expanded(store, sets)
    for _, classes in expanded:
        _notice_alike(classes, progress)
    rows = []
    for name in models:
        model = StoredModel(store, name, device, progress)
        plans = list(_plans(store, name, expanded))
        if _needs_model(store, name, plans):
            _ = model.model  # one that cannot be had is known before anything is written
        known = KnownTexts(store, name)
        for plan in plans:
            _run(store, model, plan, known, progress)
            rows.append(plan.row(name))
    return pl.DataFrame(rows, schema=PROMPT_RUNS)


def plan_prompts(store: Store, models: Sequence[str], sets: Sequence[PromptsOver]) -> pl.DataFrame:
    """Return what :func:`encode_prompts` would do; no model is loaded and nothing written."""
    expanded = _expanded(store, sets)
    rows = [plan.row(name) for name in models for plan in _plans(store, name, expanded)]
    return pl.DataFrame(rows, schema=PROMPT_RUNS)


def class_lists_of(store: Store, datasets: Sequence[str] = ()) -> list[ClassList]:
    """Return the class lists of stored data sets, each once; of all that have classes by default.

    Raises
    ------
    EmbedStoreError
        If a data set that is named has no classes, or none of the store's has.
    """
    found: list[ClassList] = []
    for name in datasets or store.datasets:
        classes = prompted_classes(store.dataset(name))
        if classes is None and datasets:
            raise EmbedStoreError(
                f"data set {name!r} has no classes to put prompts to; give some: --classes FILE"
            )
        if classes is not None and classes not in found:
            found.append(classes)
    if not found:
        raise EmbedStoreError(
            f"no data set in {store.files.root} has classes to put prompts to; give some: "
            "--classes imagenet, or a file of your own"
        )
    return found


def _expanded(store: Store, sets: Sequence[PromptsOver]) -> list[tuple[TextSet, ClassList]]:
    """Make the texts of all sets; refuse those that could not be stored under their names."""
    names = [f"{prompts.name}--{classes.name}" for prompts, classes in sets]
    for name, count in Counter(names).items():
        checked_name("text set", name)
        if count > 1:
            raise IdentityError(
                f"two text sets would be named {name!r}; give each file of prompts or classes a "
                "name of its own, and each set once"
            )
    texts = [(expand(prompts, classes), classes) for prompts, classes in sets]
    for name, (prompts, classes) in zip(names, sets, strict=True):
        there = store.files.exists(f"{layout.texts(name)}/manifest.json")
        if there and not has_prompts(store, prompts, classes):
            raise IdentityError(
                f"text set {name!r} is in the store with other texts; rename your file of prompts "
                "or classes"
            )
    return texts


def _plans(store: Store, model: str, sets: Sequence[tuple[TextSet, ClassList]]) -> Iterator[_Plan]:
    """Count what is left of each set for a model, earlier ones taken as encoded."""
    known, finished = KnownTexts(store, model), store.text_sets(model)
    for texts, classes in sets:
        rows = pl.Series("text", texts.texts, pl.String)
        if texts.name in finished:
            state = ALREADY if texts.name in store.heads(model) else "begun"
            yield _Plan(texts, classes, 0, 0, state)
            continue
        run = BlockRun.planned(store.files, layout.text_embeddings(model, texts.name))
        left, state = rows, "new" if run is None else "begun"
        if run is not None:
            missing = set(run.missing())
            for block in set(range(run.plan.n_blocks)) - missing:
                start, stop = run.plan.rows(block)
                known.add(rows[start:stop], partial(run.read, block, "embeddings"))
            parts = [rows[slice(*run.plan.rows(block))] for block in sorted(missing)]
            left = pl.concat(parts) if parts else rows.clear()
        n_new = len(known.new(left))
        yield _Plan(texts, classes, n_new, len(left) - n_new, state)
        known.add(rows, _not_there)


def _not_there() -> Any:
    raise AssertionError("a text that is only counted has no embedding yet")


def _needs_model(store: Store, model: str, plans: Sequence[_Plan]) -> bool:
    """Whether a text is new, or nothing in the store tells the scale of a head to be made."""
    to_make = any(plan.state != ALREADY for plan in plans)
    return any(plan.n_encoded for plan in plans) or (to_make and not logit_scale(store, model))


def _run(
    store: Store, model: StoredModel, plan: _Plan, known: KnownTexts, progress: Progress
) -> None:
    name = plan.texts.name
    if plan.state == ALREADY:
        progress.notice(f"{model.name}: {name} is already there")
        return
    save_prompts(store, plan.texts, plan.classes)
    encode_texts(store, model, name, progress, known)
    save_zero_shot(store, model, name)
    progress.notice(
        f"{model.name}: {name}, {plan.n_encoded:,} texts encoded, {plan.n_copied:,} copied"
    )


def _notice_alike(classes: ClassList, progress: Progress) -> None:
    """Say so where names of a user's list hardly differ."""
    if classes.name in SHIPPED:
        return
    first: dict[str, int] = {}
    spoken = [spoken_name(name) for name in classes.names]
    alike = [(i, first[name]) for i, name in enumerate(spoken) if first.setdefault(name, i) != i]
    if alike:
        this, other = (classes.names[i] for i in alike[0])
        progress.notice(
            f"class list {classes.name!r}: names that are alike but for case, '-' and '_' "
            f"({len(alike):,}, first {this!r} and {other!r}) can hardly be told apart by a head"
        )
