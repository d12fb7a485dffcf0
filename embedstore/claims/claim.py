"""A claim: what it says, and the test and rule that decide it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from embedstore.claims.evidence import Evidence
from embedstore.claims.finding import Finding, Rule


class Test(Protocol):
    """A kind of test, with what it is made on."""

    @property
    def recipe(self) -> str:
        """Models, metrics, axes and statistic, in one sentence."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from; none where they are a store's."""

    def find(self, evidence: Evidence) -> Finding:
        """Make it.

        Raises
        ------
        EmbedStoreError
            If nothing measures what it needs.
        """


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the study that numbers may contradict."""

    name: str  # in lower case, words parted by dashes
    section: str  # of SECTIONS
    statement: str
    test: Test  # on a store
    rule: Rule
    published: Test | None = None  # on published results, where these tell

    def recipe(self, test: Test, min_models: int) -> str:
        """Return how one of its tests is made, and what decides."""
        return f"{test.recipe}; {self.rule}; at least {min_models} models a group, or pairs"


#: What claims are about, in the order of the study.
SECTIONS = (
    "factors", "robustness", "shape-bias", "ood", "calibration", "prompts", "retrieval", "3d",
    "language",
)  # fmt: skip
