"""Kinds of FAISS indexes: which suits a size, what each takes, and how each is made.

Measured on two cores, 50,000 x 512 rows in 1,000 clusters: exact search takes 23 ms a query, 0.9 ms
in batches, and needs no building; `hnsw` builds in 13 s and answers in .11 ms at recall .996, `ivf`
in 8 s and .03 ms at recall .98, `ivfpq` in 20 s, in a seventeenth of the bytes.

Dimensions: n rows, D embedding.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from embedstore.errors import UnknownNameError
from embedstore.index import library
from embedstore.index.exact import Metric

Kind = Literal["flat", "hnsw", "ivf", "ivfpq"]
KINDS: tuple[Kind, ...] = get_args(Kind)
AUTO = "auto"

#: Float32 bytes up to which `auto` takes flat: 130,000 x 512, which a core reads in 60 ms a query.
FLAT_BYTES = 256 * 2**20
#: Rows up to which `auto` takes hnsw: by the 13 s for 50,000, a million take some 6 minutes.
HNSW_ROWS = 1_000_000
#: Share of the free memory that an index may take while it is built.
SHARE = 0.5

LINKS = 32  # of a node in upper layers of a graph; twice as many at the bottom
CONSTRUCTION = 40  # candidates while a graph is built: FAISS's own default
TRAINING_ROWS = 64  # a list, of those that centroids are fitted to
LEAST_ROWS = 39  # a list: FAISS warns of fewer
CODE_DIMENSIONS = 8  # that a byte of a product quantiser's code stands for


@dataclass(frozen=True, slots=True)
class Size:
    """Of what is indexed."""

    n_rows: int  # n
    dim: int  # D

    @property
    def n_bytes(self) -> int:
        """Of the rows as float32, which all kinds but ivfpq hold."""
        return 4 * self.n_rows * self.dim

    @property
    def n_lists(self) -> int:
        """Lists of an inverted file: 4 √n, as FAISS advises, but none shorter than it warns of."""
        return max(1, min(int(4 * math.sqrt(self.n_rows)), self.n_rows // LEAST_ROWS))

    @property
    def n_codes(self) -> int:
        """Bytes of a row's product-quantised code: the most that divide D, D / 8 at most."""
        at_most = max(1, self.dim // CODE_DIMENSIONS)
        return next(m for m in range(at_most, 0, -1) if self.dim % m == 0)

    @property
    def code_bits(self) -> int:
        """Bits of each: 8, fewer only where there are not 256 rows to tell apart."""
        return min(8, max(1, self.n_rows.bit_length() - 1))


def choose(kind: str, size: Size, memory: int | None = None) -> Kind:
    """Return the kind itself, or what `auto` means for a size.

    `flat`, exact and without building, up to 256 MiB of float32 rows; `hnsw`, the fastest at high
    recall, up to a million rows; `ivf` beyond, which is trained on a sample and grows by the row;
    but `ivfpq` where the rows take more than half of the free memory.

    Parameters
    ----------
    kind
        One of `KINDS`, or `auto`.
    size
        Of what is indexed.
    memory
        Free bytes; None asks the machine.

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    """
    for known in KINDS:
        if kind == known:
            return known
    if kind != AUTO:
        raise UnknownNameError("kind of index", kind, (AUTO, *KINDS))
    if size.n_bytes <= FLAT_BYTES:
        return "flat"
    if size.n_bytes > SHARE * (free_memory() if memory is None else memory):
        return "ivfpq"
    return "hnsw" if size.n_rows <= HNSW_ROWS else "ivf"


def expected_bytes(kind: Kind, size: Size) -> int:
    """Return about how many bytes an index's file takes."""
    centroids = 4 * size.n_lists * size.dim
    return {
        "flat": size.n_bytes,
        "hnsw": size.n_bytes + size.n_rows * (4 * 2 * LINKS + 20),
        "ivf": size.n_bytes + 8 * size.n_rows + centroids,
        "ivfpq": size.n_rows * (size.n_codes * size.code_bits // 8 + 8)
        + centroids
        + 4 * size.dim * (1 << size.code_bits),
    }[kind]


def untrained(kind: Kind, size: Size, metric: Metric) -> Any:
    """Return an empty index of FAISS."""
    faiss = library.faiss()
    measure = faiss.METRIC_INNER_PRODUCT if metric == "ip" else faiss.METRIC_L2
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(size.dim, LINKS, measure)
        index.hnsw.efConstruction = CONSTRUCTION
        return index
    flat = faiss.IndexFlat(size.dim, measure)
    if kind == "flat":
        return flat
    if kind == "ivf":
        index = faiss.IndexIVFFlat(flat, size.dim, size.n_lists, measure)
    else:
        codes = (size.n_codes, size.code_bits)
        index = faiss.IndexIVFPQ(flat, size.dim, size.n_lists, *codes, measure)
        index.pq.cp.min_points_per_centroid = 1  # it would warn, and there are no more
    index.cp.min_points_per_centroid = 1
    return index


def apply_settings(index: Any, settings: dict[str, int]) -> None:
    """Set how widely an index looks: `n_probe` lists of an ivf, `ef_search` candidates of hnsw."""
    if "n_probe" in settings:
        index.nprobe = settings["n_probe"]
    if "ef_search" in settings:
        index.hnsw.efSearch = settings["ef_search"]


def ladder(kind: Kind, size: Size) -> list[dict[str, int]]:
    """Return the settings of a kind that are tried, the quickest first."""
    if kind == "hnsw":
        return [{"ef_search": 2**power} for power in range(4, 12)]
    if kind in ("ivf", "ivfpq"):
        counts = [2**power for power in range(size.n_lists.bit_length())]
        return [{"n_probe": n} for n in sorted({*counts, size.n_lists})]
    return [{}]


def free_memory() -> int:
    """Return the bytes that a process may take without others being pushed out."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2
