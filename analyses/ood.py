"""Out-of-distribution (OOD) detection: how well scores tell ID from OOD samples.

Conventions: a higher score is more in-distribution; logits are cut to the ID data set's classes
before the softmax, also for OOD samples; AUROC counts ties one half; AUPR is average precision, or
the trapezoid's area (`openood`); FPR@95 by one of three rules:

- `id-recall` (MCM's code): of all distinct scores as thresholds, the one whose ID recall is nearest
  to .95;
- `id-quantile` (NINCO): the 5 % quantile of ID scores, linear;
- `ood-recall` (OpenOOD v1.5): the share of ID rejected where 95 % of OOD are caught.

Scores that are fitted take a reference data set, or half of the ID one (a hash of sample ids), and
then score the other half. Samples that the score or a fitted head has seen are left out, on either
side: they are known by their pictures' bytes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from embedstore.analysis import analysis
from embedstore.detection.sides import Sides, sides
from embedstore.detection.subject import Subject
from embedstore.errors import UnknownNameError
from embedstore.in_distribution import AUTO
from embedstore.schema.detection import OOD
from embedstore.store import Store
from embedstore.store.pointers import datasets_of

if TYPE_CHECKING:
    from embedstore.detection.measuring import Measured, Scores
    from embedstore.detection.score import Asked
    from embedstore.stats.detection import Detection

Fpr = Literal["id-recall", "id-quantile", "ood-recall"]
Aupr = Literal["average-precision", "trapezoid"]
Convention = Literal["mcm", "ninco", "openood"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How areas and rates are taken."""

    fpr: Fpr
    aupr: Aupr

    @property
    def text(self) -> str:
        """What the column `convention` says."""
        return (
            f"higher is ID; AUROC: ties one half; AUPR: {self.aupr}; FPR@95: "
            f"{self.fpr}; bounds: DeLong, jackknife, Zou & Donner"
        )


#: What a project chose.
CHOICES = {
    "mcm": Rules("id-recall", "average-precision"),
    "ninco": Rules("id-quantile", "average-precision"),
    "openood": Rules("ood-recall", "trapezoid"),
}


@analysis
def ood(
    store: Store,
    *,
    models: str = "*",
    heads: str = "*",
    id_dataset: str = AUTO,
    ood: str = AUTO,
    scores: str = "msp,max-logit,energy,mcm",
    reference: str = AUTO,
    negatives: str = "",
    convention: Convention = "mcm",
    fpr: Fpr | None = None,
    aupr: Aupr | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """OOD detection by any score: AUROC, AUPR, FPR@95, one row a head, OOD data set and score.

    Parameters
    ----------
    store
        Where outcomes, logits or embeddings are.
    models, heads
        Globs over names.
    id_dataset
        The in-distribution data set; ``auto``: the one named imagenet or imagenet-val, or the only
        one.
    ood
        Globs over OOD data sets, parted by commas; ``auto``: those known by name, and those that
        share no class with the ID one.
    scores
        Names parted by commas, or `all`, each perhaps with hyper-parameters:
        `knn?k=10,mcm?temperature=0.01`; a Python file with functions of your own marked with
        `@embedstore.detection.score(NAME)`.
    reference
        Data set that scores are fitted to, such as the training set; ``auto``: half of the ID one.
    negatives
        Text set of the negative words that neglabel takes.
    convention
        A project whose rules are taken where `fpr` and `aupr` name none.
    fpr, aupr
        Rules of FPR@95 and of AUPR.
    seed
        Of the halves.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.detection.OOD`, then hyper-parameters of a user's own scores; null, with
        a note, where a score means nothing.

    Raises
    ------
    EmbedStoreError
        If the ID data set is not clear, or is one of the OOD ones, or there is none of these; if a
        score or hyper-parameter is unknown.

    Examples
    --------
    embedstore analyze ood clip.store --id-dataset imagenet-val --ood 'inaturalist,textures'
    embedstore analyze ood clip.store --scores all --reference imagenet-train --convention openood
    """
    from embedstore.detection.asking import asked_scores

    rules = Rules(fpr or CHOICES[convention].fpr, aupr or CHOICES[convention].aupr)
    asked = asked_scores(scores)
    chosen = sides(store, id_dataset, ood, reference, seed)
    subjects = [
        subject
        for model in (m for m in store.models if fnmatchcase(m, models))
        for subject in _subjects(store, model, heads, chosen, negatives)
    ]
    _refuse_no_head(store, subjects, heads, chosen.id_dataset)
    rows = [row for subject in subjects for row in _rows(subject, asked, chosen, rules)]
    own = {
        name: None if value is None else type(value)  # None: of what the fitted score has
        for a in asked
        for name, value in a.hyperparameters.items()
        if name not in OOD
    }
    frame = pl.DataFrame(rows, schema={**OOD, **own}, strict=False, infer_schema_length=None)
    return frame.with_columns(pl.selectors.float().fill_nan(None)).sort(
        "ood", "model", "head", "score", maintain_order=True, nulls_last=True
    )


def _subjects(
    store: Store, model: str, heads: str, chosen: Sides, negatives: str
) -> Iterator[Subject]:
    """Yield each head over the ID classes, then the model alone, for scores that need no head."""
    for head in _id_heads(store, model, chosen.id_dataset):
        if fnmatchcase(head, heads):
            yield Subject(store, model, head, chosen.id_dataset, chosen.fitted_to(), negatives)
    if chosen.id_dataset in datasets_of(store.files, model):  # be it logits alone: a reason then
        yield Subject(store, model, None, chosen.id_dataset, chosen.fitted_to(), negatives)


def _refuse_no_head(store: Store, subjects: Sequence[Subject], heads: str, id_dataset: str) -> None:
    """Refuse a glob over heads that matches none, rather than leave their scores out."""
    models = {s.model for s in subjects}
    if heads != "*" and models and all(s.head_name is None for s in subjects):
        known = {head for model in models for head in _id_heads(store, model, id_dataset)}
        raise UnknownNameError(f"head over the classes of {id_dataset!r}", heads, known)


def _id_heads(store: Store, model: str, id_dataset: str) -> list[str]:
    """Return the heads that choose among the ID data set's classes and have something of it."""
    judged = {run.head for run in store.outcome_runs(model, id_dataset)}
    found = []
    for head in sorted({*store.heads(model), *judged}):
        subject = Subject(store, model, head, id_dataset)
        imported = head not in store.heads(model)  # as outcomes alone
        there = head in judged or subject.known(id_dataset)
        if imported or (there and subject.space.labelled):
            found.append(head)
    return found


def _rows(
    subject: Subject, asked: Sequence[Asked], chosen: Sides, rules: Rules
) -> Iterator[dict[str, Any]]:
    """Score each data set once for all scores of a kind, and compare."""
    from embedstore.detection.measuring import measure

    for fitted in (False, True):
        of_subject = (
            a for a in asked if ("head" in a.score.needs) == (subject.head_name is not None)
        )
        several = [a for a in of_subject if ("reference" in a.score.needs) == fitted]
        if not several:
            continue
        parts = chosen.scored(subject.model, subject.head_name, fitted=fitted)
        measured = measure(subject if fitted else subject.without_reference(), several, parts)
        for place, score in enumerate(several):
            for part in parts[1:]:
                yield {
                    "model": subject.model,
                    "head": subject.head_name,
                    "id": chosen.id_dataset,
                    "ood": part.dataset,
                    "score": score.score.name,
                    "reference": chosen.reference_name if fitted else None,
                    "convention": rules.text,
                    **measured.used.get(place, score.hyperparameters),
                    **_compared(measured, place, (parts[0].dataset, part.dataset), rules),
                    **_left_out(subject.store, measured, place, (parts[0].dataset, part.dataset)),
                }


def _compared(
    measured: Measured, place: int, datasets: tuple[str, str], rules: Rules
) -> dict[str, Any]:
    """Return how well a score tells an ID data set from an OOD one, or why it does not."""
    from embedstore.stats.detection import detection

    reasons = [measured.reasons[place, d] for d in datasets if (place, d) in measured.reasons]
    if reasons:
        return {"note": reasons[0]}
    inside, outside = (measured.scores[place, d] for d in datasets)
    empty = [d for d, s in zip(datasets, (inside, outside), strict=True) if not len(s.values)]
    if empty:
        return {"note": f"no sample of {empty[0]} is left to be scored"}
    found = detection(inside.values, outside.values, convention=rules.fpr, area=rules.aupr)
    constant = float(min(inside.values.min(), outside.values.min())) == float(
        max(inside.values.max(), outside.values.max())
    )
    note = "the score is the same for all samples" if constant else None
    return {**_columns(found), **_by_class(inside, outside, rules), "note": note}


def _columns(found: Detection) -> dict[str, Any]:
    estimates = {"auroc": found.auroc, "aupr_in": found.aupr_in, "aupr_out": found.aupr_out}
    row: dict[str, Any] = {"n_id": found.n_id, "n_ood": found.n_ood}
    for name, estimate in (estimates | {"fpr95": found.fpr}).items():
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row


def _by_class(inside: Scores, outside: Scores, rules: Rules) -> dict[str, Any]:
    """Return means over the classes of OOD samples, as NINCO's authors report them."""
    from embedstore.stats.detection import detection_by_group

    labelled = outside.labels >= 0
    if not labelled.any():
        return {}
    values, labels = outside.values[labelled], outside.labels[labelled]
    groups = detection_by_group(inside.values, values, labels, convention=rules.fpr)
    return {"class_mean_auroc": groups.mean_auroc, "class_mean_fpr95": groups.mean_fpr}


def _left_out(
    store: Store, measured: Measured, place: int, datasets: tuple[str, str]
) -> dict[str, Any]:
    """Count the samples of both data sets that were not scored."""
    if any((place, d) not in measured.scores for d in datasets):
        return {}
    n_scored = sum(len(measured.scores[place, d].values) for d in datasets)
    return {"n_left_out": sum(store.dataset(d).n_samples for d in datasets) - n_scored}
