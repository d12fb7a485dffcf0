"""Tip-Adapter (Zhang et al., 2022): a head, and a cache of a few training samples a class.

The training-free variant. Tip-Adapter-F, which trains the keys by gradient descent, is left out, as
are averages over random crops: a store has one embedding a picture.

Dimensions: N samples, C classes, D embedding, K keys, V validation samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import EmbedStoreError
from embedstore.heads.head import Cache, Head, unit, votes
from embedstore.heads.recipes import Fitted, Made, Notice
from embedstore.heads.splits import Split, shots_split
from embedstore.heads.stored import head_digest, head_record, load_fitted, load_head
from embedstore.heads.training import Training
from embedstore.heads.zero_shot import ZERO_SHOT
from embedstore.store import Store

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

#: What is tried where none is given: the grid of the authors' code for ImageNet.
ALPHAS = tuple(0.1 + i * (3 - 0.1) / 20 for i in range(20))
BETAS = tuple(0.1 + i * (7 - 0.1) / 200 for i in range(200))
_ROWS = 512  # validation samples at once


def build_cache(keys: F32, classes: I64, alpha: float, beta: float) -> Cache:
    """Return the cache of embeddings of any length and their columns: (K, D), (K,)."""
    order = np.argsort(classes, kind="stable")
    return Cache(unit(keys[order]), classes[order].astype(np.int64), float(alpha), float(beta))


def search_cache(
    head: Head,
    cache: Cache,
    validation: tuple[F32, I64],
    alphas: tuple[float, ...] = ALPHAS,
    betas: tuple[float, ...] = BETAS,
) -> tuple[float, float, float]:
    """Return the alpha and beta of the best validation accuracy, and that accuracy.

    Parameters
    ----------
    head, cache
        What is added to what; classes that have no key do not compete.
    validation
        (V, D) embeddings, (V,) columns of the head.
    alphas, betas
        What to try; ties go to the first beta, then to the first alpha, as in the authors' code.
    """
    columns = np.unique(cache.classes)
    hits = np.zeros((len(betas), len(alphas)), np.int64)
    for start in range(0, len(validation[1]), _ROWS):
        x = validation[0][start : start + _ROWS]
        right = np.searchsorted(columns, validation[1][start : start + _ROWS])
        logits, affinity = head.logits(x)[:, columns], unit(x) @ cache.keys.T
        for b, beta in enumerate(betas):
            _, sums = votes(affinity, cache.classes, beta)
            for a, alpha in enumerate(alphas):
                predictions = (logits + np.float32(alpha) * sums).argmax(axis=1)
                hits[b, a] += (predictions == right).sum()
    best_beta, best_alpha = divmod(int(hits.argmax()), len(alphas))
    return alphas[best_alpha], betas[best_beta], float(hits.max() / len(validation[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class TipAdapter(Fitted):
    """A cache of `shots` samples a class; alpha and beta are chosen on min(shots, 4) others."""

    kind: ClassVar[str] = "tip-adapter"
    shots: int = 16
    base: str = ""  # head that the cache is added to; "" for the model's zero-shot head
    alpha: float | None = None
    beta: float | None = None

    @property
    def default_name(self) -> str:
        """Kind, shots and data set."""
        return f"{self.kind}-{self.shots}--{self.dataset}"

    def inputs(self, store: Store, model: str) -> dict[str, str]:
        """Those of every fitted head, and the head below."""
        base = self.base_head(store, model)
        below = {"base": base, "base digest": head_digest(store, model, base)}
        return Fitted.inputs(self, store, model) | below

    def base_head(self, store: Store, model: str) -> str:
        """Return the name of the head below: the one asked for, or the only zero-shot one.

        Raises
        ------
        EmbedStoreError
            If there is none, or there are several to choose among, or the one asked for lacks
            classes of the data set.
        """
        needed = set(store.dataset(self.dataset).class_ids)
        if self.base:
            if not needed <= set(head_record(store, model, self.base)["class_ids"]):
                raise EmbedStoreError(
                    f"head {self.base!r} of model {model!r} lacks classes of data set "
                    f"{self.dataset!r}; choose another: --base HEAD"
                )
            return self.base
        records = {name: head_record(store, model, name) for name in store.heads(model)}
        fitting = [
            name
            for name, record in records.items()
            if record["origin"].get("kind") == ZERO_SHOT and needed <= set(record["class_ids"])
        ]
        named = f"--{store.dataset(self.dataset).class_list}"
        own = [name for name in fitting if name.endswith(named)]  # over the data set's own names
        fitting = own or fitting
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise EmbedStoreError(
                f"model {model!r} has several zero-shot heads over {self.dataset!r}: "
                f"{', '.join(fitting)}; choose one: --base HEAD"
            )
        raise EmbedStoreError(
            f"model {model!r} has no zero-shot head over the classes of {self.dataset!r}; encode "
            "it with prompts, or name a head of these classes: --base HEAD"
        )

    def split(self, samples: Training) -> Split:
        """Choose keys, and what to validate on, unless alpha and beta are given."""
        class_ids = samples.dataset.class_ids
        split = shots_split(samples.ids, samples.labels, class_ids, self.shots, self.seed)
        if self.alpha is not None and self.beta is not None:
            return Split(split.fit, split.validation[:0])
        if not len(split.validation):
            raise EmbedStoreError(
                "no sample is left to choose alpha and beta on, since no class has more than "
                f"{self.shots}; give both, as --alpha 1.17 --beta 1, or take fewer --shots"
            )
        return split

    def fit(self, samples: Training, split: Split, notice: Notice) -> tuple[Head, dict[str, Any]]:
        """Fill the cache, and search."""
        base = self.base_head(samples.store, samples.model)
        head = load_head(samples.store, samples.model, base)
        if not head.linear:
            raise EmbedStoreError(
                f"head {base!r} of model {samples.model!r} is native or has a cache itself; choose "
                "a linear one: --base HEAD"
            )
        column = {class_id: i for i, class_id in enumerate(head.class_ids)}
        columns = np.array([column[i] for i in samples.dataset.class_ids])[samples.labels]
        keys = samples.matrix(split.fit)
        cache = build_cache(keys, columns[split.fit], self.alpha or 0.0, self.beta or 0.0)
        facts: dict[str, Any] = {"base": base, "validation_accuracy": None}
        if len(split.validation):
            notice(f"choosing alpha and beta on {len(split.validation)} samples")
            validation = (samples.matrix(split.validation), columns[split.validation])
            alphas = ALPHAS if self.alpha is None else (self.alpha,)
            betas = BETAS if self.beta is None else (self.beta,)
            alpha, beta, accuracy = search_cache(head, cache, validation, alphas, betas)
            cache = replace(cache, alpha=alpha, beta=beta)
            facts["validation_accuracy"] = accuracy
        facts |= {"alpha": cache.alpha, "beta": cache.beta}
        return replace(head, cache=cache), facts

    def make(self, store: Store, model: str, notice: Notice) -> Made:
        """Make it; what the head below was fitted on had a say too."""
        made = Fitted.make(self, store, model, notice)
        below = load_fitted(store, model, self.base_head(store, model))
        if below is None or made.fitted is None:
            return made
        return replace(made, fitted=pl.concat([made.fitted, below]).unique(maintain_order=True))

    def memory(self, samples: Training, split: Split) -> int:
        """Keys and validation samples in float32, twice, and their affinities."""
        rows = 2 * len(split.used) * samples.dim
        return 4 * (rows + 3 * _ROWS * max(len(split.fit), len(samples.dataset.class_ids)))
