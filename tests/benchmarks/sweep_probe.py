"""A process whose memory `test_prompt_sweep.py` asks for: a sweep of the first text sets."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from embedstore import Store, analysis

if __name__ == "__main__":
    store, texts = Store.open(sys.argv[1]), sys.argv[2]
    sweep = analysis.find("prompt-sweep")
    sweep(store, texts="set-000", parts="sets")
    start = time.perf_counter()
    n = sweep(store, texts=texts, parts="sets").height
    seconds = time.perf_counter() - start
    # not ru_maxrss, which counts what the process was before it became this program
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(n, seconds, int(peak[1]) * 1024)
