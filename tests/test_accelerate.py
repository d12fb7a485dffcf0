"""BLAS on one core: for all who ask at a time, and no longer."""

from __future__ import annotations

import numpy as np  # noqa: F401  loads a BLAS
from threadpoolctl import threadpool_info

from embedstore.accelerate import blas_on_one_core


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_stays_on_one_core_until_the_last_who_asked_is_done():
    before = blas_threads()
    first, second = blas_on_one_core(), blas_on_one_core()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == before
