"""A process whose memory `test_correspondence.py` asks for: a pair of many points, matched."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from embedstore.correspondence.matching import Rules, match

DIM = 768


def memory(field: str) -> int:
    """Return what the kernel says of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(rf"{field}:\s+(\d+) kB", status)
    return 1024 * int(kilobytes)


if __name__ == "__main__":
    n_points, rules = int(sys.argv[1]), Rules(ratio_test=True, mutual=True, keep=1_000)
    random = np.random.default_rng(0)
    sides = [random.standard_normal((n_points, DIM), dtype=np.float32) for _ in range(2)]
    for side in sides:
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    match(sides[0][:2_048], sides[1][:2_048], rules)  # imports, compiles, and BLAS's own buffers
    before = memory("VmRSS")
    match(*sides, rules)
    print(memory("VmHWM") - before)
