"""The project's one numba decorator, and threads over the rows of an array.

Kernels release the GIL and run on plain threads, so they need none of numba's threading layers,
of which some may not be entered from two threads at once. numba itself, a quarter of a second and
55 MB, is imported when the first kernel is called: most commands call none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock, RLock
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

#: Sums may be reordered and fused so that they vectorise. NaN and infinity keep their meaning:
#: `nnan` and `ninf` are left out, since kernels must see and refuse them.
FAST_MATH = frozenset({"reassoc", "nsz", "contract", "arcp"})
_COMPILING = RLock()  # entered again where one kernel calls another


class Kernel:
    """A function that is handed to numba when it is first called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func = function
        self.__doc__, self.__name__ = function.__doc__, function.__name__
        self.__wrapped__ = function
        self._compiled: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Run it, compiled."""
        return self.compiled(*arguments)

    @property
    def compiled(self) -> Any:
        """Numba's own function of it."""
        if self._compiled is None:
            with _COMPILING:
                self._compiled = self._compiled or self._compile()
        return self._compiled

    def _compile(self) -> Any:
        import numba

        names = self.py_func.__globals__
        for name in self.py_func.__code__.co_names:
            if isinstance(called := names.get(name), Kernel):
                names[name] = called.compiled  # numba reads globals, and knows no wrapper of ours
        return numba.njit(cache=True, nogil=True, fastmath=set(FAST_MATH))(self.py_func)  # noqa: TID251


def njit(function: F) -> F:
    """Compile `function` without Python objects, cached on disk, GIL released."""
    return cast("F", Kernel(function))


def n_threads() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_rows(kernel: Callable[[int, int], Any], n_rows: int, *, grain: int = 1024) -> list[Any]:
    """Call ``kernel(start, stop)`` for consecutive ranges of rows, a thread each; results in order.

    Ranges depend on `n_rows` and the core count alone, and kernels write rows of their own, so the
    result is the same on any thread count.
    """
    n_ranges = max(1, min(n_threads(), n_rows // grain))
    edges = [n_rows * i // n_ranges for i in range(n_ranges + 1)]
    if n_ranges == 1:
        return [kernel(0, n_rows)]
    with ThreadPoolExecutor(n_ranges) as pool:
        return list(pool.map(kernel, edges[:-1], edges[1:]))


class _BlasLimit:
    """One thread for BLAS as long as somebody wants it.

    The limit is the whole process's: were each to put back what it found, those that overlap would
    leave it behind, or lift it while another still counts on it.
    """

    def __init__(self) -> None:
        self._lock, self._n_wanting = Lock(), 0
        self._limits: Any = None

    def take(self) -> None:
        """Set it, unless it is."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

        with self._lock:
            if self._n_wanting == 0:
                self._limits = threadpool_limits(1, "blas")
            self._n_wanting += 1

    def leave(self) -> None:
        """Lift it, unless others want it."""
        with self._lock:
            self._n_wanting -= 1
            if self._n_wanting == 0:
                self._limits.restore_original_limits()


_BLAS_LIMIT = _BlasLimit()


@contextmanager
def blas_on_one_core() -> Iterator[None]:
    """Keep BLAS to one thread in the whole process: for callers that bring threads of their own."""
    _BLAS_LIMIT.take()
    try:
        yield
    finally:
        _BLAS_LIMIT.leave()


__all__ = ["FAST_MATH", "blas_on_one_core", "n_threads", "njit", "over_rows"]
