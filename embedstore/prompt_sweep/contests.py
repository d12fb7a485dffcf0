"""Which text sets can name a data set's classes, and the pictures that judge them.

Dimensions: N samples, S classes of a label space, K members of these, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from embedstore.labels import LabelSpace, judgements
from embedstore.prompt_sweep.images import Images, labelled_images
from embedstore.store import Store
from embedstore.store.contents import TextsRecord
from embedstore.store.datasets import DatasetRecord

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contest:
    """Text sets over the same classes, and the pictures that judge all of them."""

    images: Images  # readable and labelled ones
    space: str  # name of the label space
    columns: I64  # (K,) the members among the text sets' classes
    grouping: LabelSpace | None  # K members to S classes; None where they are the same
    texts: list[str]  # names


def contests(
    store: Store, model: str, dataset: str, texts: Mapping[str, TextsRecord]
) -> tuple[list[Contest], dict[str, str]]:
    """Return the contests of text sets over a data set, and why others cannot take part.

    Logits are judged in the data set's own label space, or the first class map of its record that
    brings both together, as when they are encoded; one that allows several right classes is none.
    """
    found: dict[tuple[str, ...], Contest | None] = {}
    left_out = {}
    for name, prompts in texts.items():
        if prompts.class_ids not in found:
            found[prompts.class_ids] = _contest(store, model, dataset, prompts.class_ids)
        contest = found[prompts.class_ids]
        if contest is None:
            left_out[name] = _reason(prompts.class_ids, store.dataset(dataset))
        else:
            contest.texts.append(name)
    return [contest for contest in found.values() if contest is not None], left_out


def _contest(store: Store, model: str, dataset: str, class_ids: Sequence[str]) -> Contest | None:
    """Return the contest of text sets over some classes, without any yet; None if there is none."""
    found = judgements(class_ids, store.dataset(dataset), store.samples(dataset))
    judged = next((j for j in found if j.space.labelled and j.labels.offsets is None), None)
    if judged is None:
        return None
    space, images = judged.space, labelled_images(store, model, dataset, judged.labels.classes)
    columns = np.arange(len(class_ids)) if space.columns is None else space.columns
    return Contest(images, space.name, columns, _grouping(space), [])


def _grouping(space: LabelSpace) -> LabelSpace | None:
    """Return the space over its members alone, in their order."""
    if space.offsets is None or space.columns is None:
        return None
    return replace(space, columns=np.arange(len(space.columns)))


def _reason(class_ids: Sequence[str], record: DatasetRecord) -> str:
    lacking = [c for c in record.class_ids if c not in set(class_ids)]
    if not lacking:
        return f"data set {record.name!r} has no classes"
    return (
        f"it does not name {len(lacking):,} of the {len(record.class_ids):,} classes of data set "
        f"{record.name!r}, such as {lacking[0]!r}"
    )
