"""A process whose memory `test_neighbours.py` asks for: neighbours of one data set in another."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from embedstore import Store
from embedstore.index.exact import nearest


def peak() -> int:
    """Most bytes that this process has held."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    store, k = Store.open(sys.argv[1]), int(sys.argv[2])
    queries = np.asarray(store.embeddings("model", "id"), np.float32)
    nearest(queries[:2], [queries[:100]], 2, normalize=True)  # loads FAISS and compiles
    before = peak()
    found = nearest(queries, store.embeddings("model", "reference").blocks(), k, normalize=True)
    print(peak() - before - found.scores.nbytes - found.rows.nbytes)
