"""What a test finds, and the rule that makes a verdict of it. They know numbers, not models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

HOLDS, FAILS, TOO_FEW = "holds", "does not hold", "not enough models"
#: Level of tests that decide by their p-value.
LEVEL = 0.05

Direction = Literal["above", "below", "apart", "significant"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A statistic over models, with what bounds it."""

    statistic: str
    value: float  # NaN where too few models have it
    n_models: int
    n_least: int  # models of the smallest group, or pairs: what must not be too few
    detail: str  # the numbers behind it, in words
    low: float = math.nan  # 95 %
    high: float = math.nan
    p_value: float = math.nan  # two-sided; NaN where no test is made
    note: str = ""

    @classmethod
    def lacking(cls, statistic: str, n_models: int, n_least: int, detail: str) -> Finding:
        """Return a finding without a value: too few models have one."""
        return cls(statistic, math.nan, n_models, n_least, detail)


@dataclass(frozen=True, slots=True)
class Rule:
    """When a claim holds: what its interval must exclude, or that its test is significant."""

    direction: Direction
    threshold: float = 0.0

    def __str__(self) -> str:
        """Return the rule as a recipe states it."""
        if self.direction == "significant":
            return f"holds if p < {LEVEL:g}"
        where = "to one side of" if self.direction == "apart" else self.direction
        return f"holds if the 95 % interval lies {where} {self.threshold:g}"

    def verdict(self, finding: Finding, min_models: int) -> str:
        """Return one of the three verdicts."""
        decides = finding.p_value if self.direction == "significant" else finding.low
        if finding.n_least < min_models or math.isnan(finding.value) or math.isnan(decides):
            return TOO_FEW
        above, below = finding.low > self.threshold, finding.high < self.threshold
        met = {
            "above": above,
            "below": below,
            "apart": above or below,
            "significant": finding.p_value < LEVEL,
        }
        return HOLDS if met[self.direction] else FAILS

    def evidence(self, finding: Finding) -> str:
        """Return one sentence with the numbers, and on which side of the rule they lie."""
        if math.isnan(finding.value):
            return f"{finding.detail}."
        said = f"{finding.statistic} {finding.value:.4g}"
        if not math.isnan(finding.low):
            said += f", 95 % interval {finding.low:.4g} to {finding.high:.4g}"
            said += f", {self._side(finding)}" if self.direction != "significant" else ""
        if not math.isnan(finding.p_value):
            said += f", p = {finding.p_value:.3g}"
        return f"{said}: {finding.detail}."

    def _side(self, finding: Finding) -> str:
        if finding.low > self.threshold:
            return f"above {self.threshold:g}"
        side = "below" if finding.high < self.threshold else "around"
        return f"{side} {self.threshold:g}"
