"""Label spaces: how a head's classes meet a data set's.

Dimensions: N samples, C classes of the head, S classes of the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: The space of a head and a data set of the same classes.
ALL = "all"
#: The space of a head that does not know the data set's classes: its own, in its order.
HEAD = "head"


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The classes among which a head chooses, in the order in which predictions count them."""

    name: str  # `all`, `head`, or the name of the data set whose classes are kept
    columns: npt.NDArray[np.intp] | None  # (S,) columns of the head's logits; None keeps all C
    labelled: bool  # whether the data set's labels count in this space

    def cut(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, C) -> (N, S): before the softmax, so that classes left out take no probability."""
        if self.columns is None:
            return logits
        return np.ascontiguousarray(logits[:, self.columns])

    def labels(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Labels of the data set -> labels of the space, -1 where there is none: (N,) -> (N,)."""
        return labels.astype(np.int64) if self.labelled else np.full(len(labels), -1, np.int64)


def label_space(head_ids: Sequence[str], class_ids: Sequence[str], dataset: str) -> LabelSpace:
    """Return the space of a data set's classes under a head, matched by class id.

    Where the head knows every class of the data set, it chooses among these alone, and predictions
    count as the data set's labels do. Where it does not, all of its classes compete, predictions
    count as the head's classes do, and no prediction can be right or wrong.
    """
    column = {class_id: i for i, class_id in enumerate(head_ids)}
    if not class_ids or any(class_id not in column for class_id in class_ids):
        return LabelSpace(HEAD, None, labelled=False)
    columns = np.array([column[class_id] for class_id in class_ids], np.intp)
    whole = len(columns) == len(head_ids)
    same_order = whole and bool((columns == np.arange(len(columns))).all())
    return LabelSpace(ALL if whole else dataset, None if same_order else columns, labelled=True)
