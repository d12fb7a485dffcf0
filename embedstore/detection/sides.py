"""Which samples are in distribution (ID), out of it (OOD), or what scores are fitted to.

Dimensions: N samples of a data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.detection.subject import Part
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.held_out import seen_samples
from embedstore.heads.splits import hashed
from embedstore.heads.stored import load_fitted
from embedstore.in_distribution import AUTO, ambiguous, id_candidates
from embedstore.store import Store
from embedstore.store.names import named
from embedstore.store.pointers import datasets_of

Bool = npt.NDArray[np.bool_]

#: Data sets of the field that are out of distribution for ImageNet, whatever their classes' names.
OOD_NAMES = frozenset(
    {"imagenet-o", "inaturalist", "ninco", "openimage-o", "places", "ssb-hard", "sun", "textures"}
)
#: Share of the ID data set that scores are fitted to where no reference is named.
HALF = 0.5


class Sides:
    """The data sets of a table."""

    def __init__(
        self, store: Store, id_dataset: str, ood: Sequence[str], reference: str, seed: int
    ) -> None:
        self.store, self.seed = store, seed
        self.id_dataset, self.ood = id_dataset, tuple(ood)
        self.reference = reference  # a data set; empty: half of the ID one

    @property
    def reference_name(self) -> str:
        """What the table calls it."""
        if not self.reference:
            return f"half of {self.id_dataset}, seed {self.seed}"
        part = "" if self._of_id_classes is None else f", classes of {self.id_dataset}"
        return self.reference + part

    def fitted_to(self) -> Part:
        """Return the samples that scores are fitted to.

        Of a reference that has classes besides the ID data set's, such as ImageNet's training set
        for a subset of the classes, those that are of other classes are not in distribution.
        """
        if not self.reference:
            return Part(self.id_dataset, self._half)
        return Part(self.reference, self._of_id_classes)

    def scored(self, model: str, head: str | None, *, fitted: bool) -> list[Part]:
        """Return the samples to be scored: none that the head, or a fitted score, has seen.

        ID ones first, then those of each OOD data set of which the model has anything.
        """
        there = datasets_of(self.store.files, model)
        datasets = [self.id_dataset, *(dataset for dataset in self.ood if dataset in there)]
        known = head is not None and head in self.store.heads(model)  # else outcomes alone
        by_head = load_fitted(self.store, model, str(head)) if known else None
        had_a_say = [self._reference_samples] if fitted else []
        had_a_say += [] if by_head is None else [by_head]
        return [self._unseen(dataset, had_a_say) for dataset in datasets]

    def _unseen(self, dataset: str, had_a_say: Sequence[pl.DataFrame]) -> Part:
        if not had_a_say:
            return Part(dataset)
        record, samples = self.store.dataset(dataset), self.store.samples(dataset)
        rows = np.ones(record.n_samples, np.bool_)
        for fitted in had_a_say:
            rows &= ~seen_samples(self.store, fitted, record, samples)
        return Part(dataset, None if rows.all() else rows)

    @cached_property
    def _reference_samples(self) -> pl.DataFrame:
        """Of the samples that scores are fitted to: data set's fingerprint, row, digest."""
        part = self.fitted_to()
        samples = self.store.samples(part.dataset).select("digest").with_row_index("row")
        chosen = samples if part.rows is None else samples.filter(pl.Series(part.rows))
        fingerprint = _fingerprint(self.store, part.dataset)
        return chosen.with_columns(fingerprint=pl.lit(fingerprint))

    @cached_property
    def _of_id_classes(self) -> Bool | None:
        """Which samples of the reference are of no class foreign to the ID data set; None: all."""
        known = set(self.store.dataset(self.id_dataset).class_ids)
        classes = self.store.dataset(self.reference).class_ids
        foreign = [place for place, class_id in enumerate(classes) if class_id not in known]
        if not foreign or len(foreign) == len(classes):  # named in another way
            return None
        labels = self.store.samples(self.reference)["label"].fill_null(-1).to_numpy()
        return np.asarray(~np.isin(labels, foreign), np.bool_)

    @cached_property
    def _half(self) -> Bool:
        ids = self.store.samples(self.id_dataset)["sample_id"].to_list()
        return np.asarray(hashed(ids, self.seed, "reference") < HALF, np.bool_)


def sides(store: Store, id_dataset: str, ood: str, reference: str, seed: int) -> Sides:
    """Choose the data sets.

    Parameters
    ----------
    store
        Where they are.
    id_dataset
        A name, or `AUTO`: the one named imagenet or imagenet-val, or the only one.
    ood
        A glob over names, several parted by commas; `AUTO`: those known to be out of distribution
        by name, and those that share no class with the ID data set.
    reference
        A name, or `AUTO`: half of the ID data set, by a hash of sample ids.
    seed
        Of the halves.

    Raises
    ------
    EmbedStoreError
        If the ID data set is not clear, is itself what is asked for as OOD, or no other matches.
    """
    there = sorted({d for m in store.models for d in datasets_of(store.files, m)})
    id_name = _id_dataset(store, id_dataset, there)
    if reference != AUTO:
        _check_reference(store, reference, id_name, there)
    chosen = _out_of_distribution(store, id_name, ood, reference, there)
    return Sides(store, id_name, chosen, "" if reference == AUTO else reference, seed)


def _id_dataset(store: Store, wanted: str, there: Sequence[str]) -> str:
    if wanted != AUTO:
        if wanted not in there:
            raise UnknownNameError("in-distribution data set", wanted, there)
        return wanted
    candidates = id_candidates(store, AUTO, needed=True)
    if len(candidates) > 1:
        labelled = [d for d in candidates if _base(d) not in OOD_NAMES]
        candidates = labelled if len(labelled) == 1 else candidates
    if not candidates:
        raise EmbedStoreError(
            "the store has no outcomes; encode the in-distribution data set, and name it with "
            "--id-dataset"
        )
    if len(candidates) > 1:
        raise ambiguous(candidates, "OOD detection needs", needed=True)
    return candidates[0]


def _check_reference(store: Store, name: str, id_name: str, there: Sequence[str]) -> None:
    if name not in there:
        raise UnknownNameError("reference data set", name, [*there, AUTO])
    if _fingerprint(store, name) == _fingerprint(store, id_name):
        raise EmbedStoreError(
            f"the reference {name!r} holds the very samples of the in-distribution {id_name!r}, "
            "and a score would know them; leave --reference out, and half of them is taken"
        )


def _out_of_distribution(
    store: Store, id_name: str, wanted: str, reference: str, there: Sequence[str]
) -> list[str]:
    others = [d for d in there if d not in (id_name, reference)]
    if wanted == AUTO:
        chosen = [d for d in others if _is_apart(store, d, id_name)]
    else:
        _refuse_two_sides(wanted, id_name, reference)
        chosen = named("OOD data set", wanted, others)
    same = [d for d in chosen if _fingerprint(store, d) == _fingerprint(store, id_name)]
    if same:
        raise EmbedStoreError(
            f"data set {same[0]!r} holds the very samples of the in-distribution {id_name!r}; "
            "choose another with --ood"
        )
    if not chosen:
        raise EmbedStoreError(
            f"no data set besides {id_name!r} is out of distribution; name some with --ood (there "
            f"are: {', '.join(others) or 'none'})"
        )
    return chosen


def _refuse_two_sides(wanted: str, id_name: str, reference: str) -> None:
    """Refuse a data set that is asked for by its name as OOD, and is something else too."""
    globs = {glob.strip() for glob in wanted.split(",")}
    for name, side, option in (
        (id_name, "in distribution", "--id-dataset"),
        (reference, "the reference", "--reference"),
    ):
        if name in globs:
            raise EmbedStoreError(
                f"data set {name!r} is both {side} and out of distribution; choose another with "
                f"--ood or {option}"
            )


def _is_apart(store: Store, dataset: str, id_name: str) -> bool:
    """Whether a data set is known to be OOD, or shares no class with the ID one and is no shift."""
    if _base(dataset) in OOD_NAMES:
        return True
    record, classes = store.dataset(dataset), store.dataset(id_name).class_ids
    if record.spaces or record.captions:
        return False
    return bool(record.class_ids) and not set(record.class_ids) & set(classes)


def _base(dataset: str) -> str:
    """Return the name without what is added to it, such as `--limit-100`."""
    return dataset.partition("--")[0].lower()


def _fingerprint(store: Store, dataset: str) -> str:
    return store.dataset(dataset).fingerprint
