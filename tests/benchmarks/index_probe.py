"""A process whose memory `test_sources.py` asks for: the listing of one tar."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from embedstore.datasets.sources import open_source

if __name__ == "__main__":
    start = time.perf_counter()
    n = len(open_source(f"webdataset:{sys.argv[1]}").listing().paths)
    seconds = time.perf_counter() - start
    # not ru_maxrss, which counts what the process was before it became this program
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(n, seconds, int(peak[1]) * 1024)
