"""Log-likelihoods of answers under a causal language model that reads a picture first.

What all of a picture's questions begin with is read once and kept as keys and values. What follows
is a tree: the rest of each question, and behind it its options; all of it goes through the model in
one pass in which a token attends to the prefix and to its own branch alone, at the position that it
would have in a text of its own. That is what separate passes over whole sequences compute, up to
rounding.

Dimensions: B pictures, P tokens of the longest prefix, S of the largest tree, D embedding, V
vocabulary, R options of all questions of a picture.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from embedstore.models.llava_prompts import Tokens

#: Logits that are held at once, in float32: 128 MiB.
LOGITS = 2**25


@dataclass(frozen=True, slots=True)
class Tree:
    """What follows a picture's prefix."""

    ids: list[int]  # (S,) tokens
    depths: list[int]  # (S,) tokens between the prefix and this one
    visible: npt.NDArray[np.bool_]  # (S, S) whether a token attends to another
    reads: list[tuple[int, int, int]]  # token, the token to follow, option of R

    @classmethod
    def of(cls, suffixes: Sequence[Sequence[int]], options: Sequence[Sequence[int]]) -> Tree:
        """Grow the tree of questions, each with the same count of options, R in all."""
        ids, parents, reads = list[int](), list[int](), list[tuple[int, int, int]]()

        def grow(tokens: Sequence[int], parent: int) -> int:
            for token in tokens:
                ids.append(token)
                parents.append(parent)
                parent = len(ids) - 1
            return parent

        per_question = len(options) // len(suffixes)
        for option, tokens in enumerate(options):
            if option % per_question == 0:
                root = grow(suffixes[option // per_question], -1)
            first = len(ids)
            grow(tokens[:-1], root)
            places = [root, *range(first, len(ids))]
            reads += [(place, t, option) for place, t in zip(places, tokens, strict=True)]
        return cls(ids, *_lineage(parents), reads)


def _lineage(parents: Sequence[int]) -> tuple[list[int], npt.NDArray[np.bool_]]:
    """Return each token's depth, and which are itself or before it in its branch: (S,), (S, S)."""
    visible = np.eye(len(parents), dtype=bool)
    depths: list[int] = []
    for i, parent in enumerate(parents):
        depths.append(0 if parent < 0 else depths[parent] + 1)
        if parent >= 0:
            visible[i] |= visible[parent]
    return depths, visible


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a language model has read of B pictures, shorter ones padded on the right."""

    cache: Any  # keys and values of P tokens
    lengths: Tensor  # (B,) tokens that count

    def kept(self) -> Prefix:
        """Return a prefix that may be read on from, this one staying as it is."""
        twin = copy.copy(self.cache)
        twin.layers = [copy.copy(layer) for layer in self.cache.layers]
        return Prefix(twin, self.lengths)


@dataclass(frozen=True, slots=True)
class Reader:
    """A language model and its head."""

    model: Any  # embeddings -> last hidden states
    head: Callable[[Tensor], Tensor]  # (..., D) -> (..., V)

    @property
    def embed(self) -> nn.Embedding:
        """Token ids to embeddings."""
        found: nn.Embedding = self.model.get_input_embeddings()
        return found

    def read(self, embeddings: Sequence[Tensor]) -> Prefix:
        """Read B prefixes, (P_b, D) each.

        A causal model lets no token see those behind it, so padding needs no mask here.
        """
        from transformers import DynamicCache

        padded = nn.utils.rnn.pad_sequence(list(embeddings), batch_first=True)
        cache = DynamicCache()
        self.model(inputs_embeds=padded, cache=cache, use_cache=True)
        lengths = torch.tensor([len(e) for e in embeddings], device=padded.device)
        return Prefix(cache, lengths)

    def follow(self, prefix: Prefix, trees: Sequence[Tree]) -> Tensor:
        """Read what follows B prefixes, which grow by it: -> hidden states (B, S, D)."""
        device, size = prefix.lengths.device, max(len(tree.ids) for tree in trees)
        ids, depths = np.zeros((2, len(trees), size), np.int64)
        visible = np.broadcast_to(np.eye(size, dtype=bool), (len(trees), size, size)).copy()
        for b, tree in enumerate(trees):
            n = len(tree.ids)
            ids[b, :n], depths[b, :n], visible[b, :n, :n] = tree.ids, tree.depths, tree.visible
        past = torch.arange(prefix.cache.get_seq_length(), device=device) < prefix.lengths[:, None]
        mask = torch.cat(
            [past[:, None].expand(-1, size, -1), torch.from_numpy(visible).to(device)], dim=-1
        )
        hidden: Tensor = self.model(
            inputs_embeds=self.embed(torch.from_numpy(ids).to(device)),
            attention_mask=mask[:, None],
            position_ids=prefix.lengths[:, None] + torch.from_numpy(depths).to(device),
            cache=prefix.cache,
            use_cache=True,
        ).last_hidden_state
        return hidden

    def score(self, prefix: Prefix, trees: Sequence[Tree]) -> npt.NDArray[np.float32]:
        """Return the log-likelihood of each option: (B, R) nats. The prefix is used up."""
        hidden = self.follow(prefix, trees)
        reads = np.array(
            [(b, *read) for b, tree in enumerate(trees) for read in tree.reads], np.int64
        )
        places, row = np.unique(reads[:, :2], axis=0, return_inverse=True)
        wanted = torch.from_numpy(reads[:, 2]).to(hidden.device)
        rows = torch.from_numpy(row.reshape(-1)).to(hidden.device)
        states = hidden[tuple(torch.from_numpy(places.T.copy()).to(hidden.device))]
        found = hidden.new_empty(len(reads), dtype=torch.float32)
        step = max(1, LOGITS // self.embed.num_embeddings)
        for start in range(0, len(states), step):
            logits = self.head(states[start : start + step]).float().log_softmax(dim=-1)
            here = (rows >= start) & (rows < start + step)
            found[here] = logits[rows[here] - start, wanted[here]]
        n_options = 1 + int(reads[:, 3].max())
        sums = np.zeros((len(trees), n_options), np.float64)
        np.add.at(sums, (reads[:, 0], reads[:, 3]), found.double().cpu().numpy())
        return sums.astype(np.float32)

    def write(
        self,
        prefix: Prefix,
        suffixes: Sequence[Sequence[int]],
        max_tokens: int,
        ends: Sequence[int],
    ) -> list[list[int]]:
        """Decode greedily what follows B prefixes and suffixes, until one of `ends`."""
        grown = prefix.kept()
        trees = [Tree.of([suffix], [[0]]) for suffix in suffixes]
        hidden = self.follow(grown, trees)
        device, at = hidden.device, torch.tensor([len(s) for s in suffixes], device=hidden.device)
        state = hidden[torch.arange(len(suffixes), device=device), at - 1]
        past = torch.arange(grown.cache.get_seq_length(), device=device)
        first = past[-1] + 1 - hidden.shape[1]  # of the suffixes
        seen = (past < grown.lengths[:, None]) | ((past >= first) & (past < (first + at)[:, None]))
        position, written = grown.lengths + at, list[Tensor]()
        ended = torch.zeros(len(suffixes), dtype=torch.bool, device=device)
        for _ in range(max_tokens):
            token = self.head(state).argmax(dim=-1)
            written.append(token)
            ended |= torch.isin(token, torch.tensor(ends, device=device))
            if bool(ended.all()):
                break
            seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
            state = self.model(
                inputs_embeds=self.embed(token[:, None]),
                attention_mask=seen[:, None, None],
                position_ids=position[:, None],
                cache=grown.cache,
                use_cache=True,
            ).last_hidden_state[:, -1]
            position = position + 1
        return [_until(row, ends) for row in torch.stack(written, dim=1).tolist()]


def _until(tokens: list[int], ends: Sequence[int]) -> list[int]:
    stop = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[:stop]


def common_start(suffixes: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all suffixes begin with; each keeps one of its own at least."""
    shortest = min(len(suffix) for suffix in suffixes) - 1
    alike = (len({s[i] for s in suffixes}) == 1 for i in range(shortest))
    return next((i for i, same in enumerate(alike) if not same), shortest)


def tree_of(questions: Sequence[Tokens], start: int) -> Tree:
    """Return the tree of a picture's questions, whose first `start` tokens its prefix has."""
    options = [option for question in questions for option in question.options]
    return Tree.of([question.after[start:] for question in questions], options)
