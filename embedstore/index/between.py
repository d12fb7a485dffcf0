"""The neighbours of all samples of a data set, in it or in another: block by block.

Dimensions: Q queries of a block, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.index.building import load
from embedstore.index.exact import Neighbours, check_k, others
from embedstore.index.rows import gathered
from embedstore.index.searching import Search, SearchKind
from embedstore.index.subject import Subject
from embedstore.store import Store
from embedstore.store.contents import committed

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Between:
    """A model's embeddings of a data set, and of the one where their neighbours are looked for."""

    samples: Subject
    search: Search  # over the reference

    @property
    def is_within(self) -> bool:
        """Whether both are the same data set: no sample is its own neighbour then."""
        return self.samples.name == self.search.subject.name

    @property
    def n_candidates(self) -> int:
        """Neighbours that a sample can have."""
        return self.search.subject.n_rows - self.is_within

    def neighbours(self, k: int) -> Iterator[tuple[I64, Neighbours]]:
        """Yield rows of the data set and their k nearest by cosine: (Q,), (Q, K); no failed ones.

        Raises
        ------
        EmbedStoreError
            If there are fewer than k.
        """
        check_k(k, self.n_candidates)
        blocks = self.samples.embeddings.blocks()
        for queries, rows in gathered(blocks, self.samples.dim, normalize=True):
            own = rows.copy()
            if self.is_within:
                yield own, others(self.search.nearest(queries, k + 1), own)
            else:
                yield own, self.search.nearest(queries, k)


def runs_between(
    store: Store, models: str, datasets: str, reference: str | None, search: SearchKind
) -> list[Between]:
    """Return the pairs of data sets that match and that a model has encoded both of.

    Parameters
    ----------
    store
        Where the embeddings are.
    models, datasets
        Globs over names.
    reference
        A data set; each one itself where it is None.
    search
        `exact`, or the kind of an index over the reference that was built.

    Raises
    ------
    UnknownNameError
        If there is no such reference.
    EmbedStoreError
        If there is no such index, or no model has encoded both a data set and the reference.
    """
    if reference is not None:
        store.dataset(reference)
    found, lacking = [], set()
    for model in (m for m in store.models if fnmatchcase(m, models)):
        encoded = committed(store.files, f"models/{model}/images")
        for dataset in (d for d in encoded if fnmatchcase(d, datasets)):
            if reference is not None and reference not in encoded:
                lacking.add(model)
            else:
                samples = Subject.open(store, model, dataset=dataset)
                searched = Subject.open(store, model, dataset=reference or dataset)
                found.append(Between(samples, _search(searched, search)))
    if lacking and not found:  # an empty table would say that nothing was found there
        raise EmbedStoreError(
            f"none of these models has encoded the reference {reference!r}: "
            f"{', '.join(sorted(lacking))}; encode it first, or choose another --reference"
        )
    return found


def _search(subject: Subject, kind: SearchKind) -> Search:
    index = None if kind == "exact" else load(subject, kind, "ip")
    return Search(subject, "ip", index)
