"""Label spaces: the classes among which a head chooses.

Dimensions: N samples, C classes of the head, S classes of the space, M members of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedstore.kernels.groups import reduce_groups

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
#: What becomes of the logits of a class's members: their largest, or the log of their mean power.
Reduction = Literal["max", "mean"]

#: The space of a head and a data set of the same classes.
ALL = "all"
#: The space of a head that does not know the data set's classes: its own, in its order.
HEAD = "head"


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The classes among which a head chooses, in the order in which predictions count them."""

    name: str  # `all`, `head`, the data set whose classes are kept, or a class map's
    class_ids: tuple[str, ...]  # (S,)
    columns: I64 | None  # (M,) columns of the head's logits, class by class; None keeps all C
    offsets: I64 | None = None  # (S + 1,) where each class's columns begin; None: M = S
    reduction: Reduction = "max"
    labelled: bool = True  # whether the data set's labels count in this space

    def cut(self, logits: F32) -> F32:
        """(N, C) -> (N, S): before the softmax, so that classes left out take no probability.

        The log of the mean of the powers stands for the mean of the probabilities: its softmax over
        the space is the mean over each class's members, brought to sum to one.
        """
        if self.columns is None:
            return logits
        if self.offsets is None:
            return np.ascontiguousarray(logits[:, self.columns])
        return reduce_groups(logits, self.columns, self.offsets, mean=self.reduction == "mean")


def label_space(head_ids: Sequence[str], class_ids: Sequence[str], dataset: str) -> LabelSpace:
    """Return the space of a data set's classes under a head, matched by class id.

    Where the head knows every class of the data set, it chooses among these alone, and predictions
    count as the data set's labels do. Where it does not, all of its classes compete, predictions
    count as the head's classes do, and no prediction can be right or wrong.
    """
    column = {class_id: i for i, class_id in enumerate(head_ids)}
    if not class_ids or any(class_id not in column for class_id in class_ids):
        return LabelSpace(HEAD, tuple(head_ids), None, labelled=False)
    columns = np.array([column[class_id] for class_id in class_ids], np.int64)
    whole = len(columns) == len(head_ids)
    same_order = whole and bool((columns == np.arange(len(columns))).all())
    return LabelSpace(ALL if whole else dataset, tuple(class_ids), None if same_order else columns)
