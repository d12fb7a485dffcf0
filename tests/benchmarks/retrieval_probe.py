"""A process whose memory `test_retrieval.py` asks for: retrieval in a store, no result kept."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from embedstore import Store, analysis


def memory(field: str) -> int:
    """Return what the kernel says of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(rf"{field}:\s+(\d+) kB", status)
    return 1024 * int(kilobytes)


if __name__ == "__main__":
    small, large = map(Store.open, sys.argv[1:])
    retrieval = analysis.find("retrieval")
    retrieval(small)  # imports and compiles
    before = memory("VmRSS")
    retrieval(large)
    print(memory("VmHWM") - before)
