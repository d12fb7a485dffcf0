"""What one corruption is: light enough for every decoding process to import."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

#: Kinds of 3D Common Corruptions that are rendered from a depth map.
DEPTH_KINDS = ("near_focus", "far_focus", "fog_3d")


@dataclass(frozen=True, slots=True)
class Corruption:
    """One kind at one severity."""

    kind: str
    severity: int  # 1 to 5

    @property
    def needs_depth(self) -> bool:
        """Whether it is rendered from a depth map."""
        return self.kind in DEPTH_KINDS

    def seed(self, sample_id: str) -> int:
        """Return 32 bits that are the sample's own, whoever renders it, in whatever order."""
        words = f"{self.kind}\0{self.severity}\0{sample_id}"
        return int.from_bytes(sha256(words.encode("utf-8", "surrogatepass")).digest()[:4], "big")
