"""Claims of the study, each tested: it holds, it does not, or there are not enough models to say.

Conventions: a claim holds where the 95 % interval of its statistic (or its test) excludes the
opposite, as its recipe states; else it does not hold, and the evidence says in which direction the
numbers point. What a store says and what published results say are rows of their own. A claim
tested on a toy or on too few models is marked so: it is no evidence about CLIP.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import polars as pl

from embedstore.analysis import analysis
from embedstore.claims.claim import SECTIONS, Claim, Test
from embedstore.claims.evidence import ID, Evidence
from embedstore.claims.finding import TOO_FEW, Finding
from embedstore.claims.recipes import CLAIMS as ALL_CLAIMS
from embedstore.errors import DamagedError, EmbedStoreError, UnknownNameError
from embedstore.in_distribution import AUTO, id_candidates
from embedstore.schema.across import CLAIMS
from embedstore.stats.bootstrap import N_RESAMPLES
from embedstore.stats.multiple import benjamini_hochberg
from embedstore.store import Store

Source = Literal["any", "store", "published"]


@analysis
def claims(
    store: Store,
    *,
    section: str | None = None,
    source: Source = "any",
    id_dataset: str = AUTO,
    min_models: int = 5,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """Claims of the study: holds, does not hold, or not enough models, one row a claim and source.

    Parameters
    ----------
    store
        Where the models are.
    section
        Only claims about factors, robustness, shape-bias, ood, calibration, prompts, retrieval, 3d
        or language.
    source
        `store` and `published` take the numbers from one of the two alone.
    id_dataset
        The in-distribution data set; ``auto``: the one named imagenet or imagenet-val, or the only
        one.
    min_models
        Models of each group, or pairs of models, below which no verdict is given.
    n_resamples, seed
        Of the intervals.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.CLAIMS`, in the study's order.

    Raises
    ------
    EmbedStoreError
        If there is no such section, source or data set, or `min_models` is below 2.
    """
    if section not in (None, *SECTIONS):
        raise UnknownNameError("section of claims", str(section), SECTIONS)
    if source not in ("any", "store", "published"):
        raise UnknownNameError("source of claims", source, ("any", "store", "published"))
    if min_models < 2:
        raise EmbedStoreError(f"min_models is {min_models}; give 2 or more, as intervals need")
    if id_dataset != AUTO:
        id_candidates(store, id_dataset)
    own, theirs = (
        Evidence(store, published, id_dataset, min_models, n_resamples, seed)
        for published in (False, True)
    )
    rows = []
    for claim in (c for c in ALL_CLAIMS if section in (None, c.section)):
        if source != "published":
            rows.append(_row(claim, claim.test, own))
        if source != "store" and claim.published is not None:
            rows.append(_row(claim, claim.published, theirs))
    frame = pl.DataFrame(rows, schema={c: t for c, t in CLAIMS.items() if c != "q_value"})
    p_values = frame["p_value"].fill_null(math.nan).to_numpy()
    frame = frame.with_columns(pl.Series("q_value", benjamini_hochberg(p_values)))
    return frame.with_columns(pl.selectors.float().fill_nan(None)).select(*CLAIMS)


def _row(claim: Claim, test: Test, evidence: Evidence) -> dict[str, Any]:
    """Test a claim on one source."""
    recipe = claim.recipe(test, evidence.min_models)
    row: dict[str, Any] = {
        "claim": claim.name,
        "section": claim.section,
        "statement": claim.statement,
        "source": f"published {', '.join(test.sources)}" if evidence.published else "store",
        "verdict": TOO_FEW,
    }
    try:
        finding = test.find(evidence)
        id_name = evidence.id_name if ID in recipe else ""
    except DamagedError:
        raise
    except EmbedStoreError as error:
        told = {"evidence": "Nothing to test it on.", "n_models": 0, "note": str(error)}
        return row | told | {"recipe": recipe.replace(ID, "ID")}
    return row | {
        "verdict": claim.rule.verdict(finding, evidence.min_models),
        "evidence": claim.rule.evidence(finding),
        "statistic": finding.statistic,
        "value": finding.value,
        "low": finding.low,
        "high": finding.high,
        "p_value": finding.p_value,
        "n_models": finding.n_models,
        "recipe": recipe.replace(ID, id_name),
        "note": _note(finding, evidence, stands_on_id=bool(id_name)),
    }


def _note(finding: Finding, evidence: Evidence, *, stands_on_id: bool) -> str | None:
    """Return what makes a finding no evidence, and what the test itself notes."""
    said = [finding.note] if finding.note else []
    if finding.n_least < evidence.min_models:
        n = "1 model or pair" if finding.n_least == 1 else f"{finding.n_least} models or pairs"
        said.append(f"toy: {n}, fewer than {evidence.min_models}: no evidence about CLIP")
    if stands_on_id and not evidence.is_imagenet:
        said.append(f"toy: in distribution is {evidence.id_name!r}, not ImageNet")
    return "; ".join(said) or None
