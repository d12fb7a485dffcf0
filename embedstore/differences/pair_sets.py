"""Sets of pairs of a data set's pictures."""

from __future__ import annotations

from embedstore.correspondence.rows import to_table
from embedstore.correspondence.stored import PairSet, load_pairs, pair_sets
from embedstore.differences.causes import Cause, Level
from embedstore.differences.findings import ONLY, Finding, place
from embedstore.differences.pair import Pair


def compare_pairs(pair: Pair, dataset: str) -> tuple[dict[str, Cause], list[Finding]]:
    """Compare the sets of pairs of a data set, block by block.

    Returns
    -------
    tuple
        A cause and a finding for each set that differs, or that one store alone has.
    """
    ours, theirs = pair.both(pair_sets, dataset)
    findings = [
        Finding(kind, place(dataset, name), "pairs")
        for kind, here, there in zip(ONLY, (ours, theirs), (theirs, ours), strict=True)
        for name in here
        if name not in there
    ]
    differing = sorted(set(ours) ^ set(theirs))
    for name in (n for n in ours if n in theirs):
        a, b = pair.both(load_pairs, dataset, name)
        if not _equal(a, b):
            differing.append(name)
            findings.append(Finding.of("dataset", dataset, f"pairs {name}", a.n_pairs, b.n_pairs))
    return {name: _cause(dataset, name) for name in differing}, findings


def _cause(dataset: str, name: str) -> Cause:
    return Cause(Level.DATASET, dataset, f"pairs {name} differ", frozenset({"number"}))


def _equal(a: PairSet, b: PairSet) -> bool:
    if (a.truth, a.n_pairs) != (b.truth, b.n_pairs):
        return False
    blocks = zip(a.blocks(), b.blocks(), strict=False)  # of one first pair, and so of one size
    return all(to_table(ours).equals(to_table(theirs)) for ours, theirs in blocks)
