"""Benjamini-Hochberg against SciPy, and tests that could not be made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from embedstore.errors import EmbedStoreError
from embedstore.stats.multiple import benjamini_hochberg


@settings(deadline=None)
@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.5, 1.0]), min_size=1))
def test_adjusted_values_are_scipys(p) -> None:
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)


def test_by_hand() -> None:
    # 4 x .01, 4 / 2 x .02, 4 / 3 x .03, .5: the second and third meet
    np.testing.assert_allclose(
        benjamini_hochberg([0.03, 0.01, 0.5, 0.02]), [0.04, 0.04, 0.5, 0.04], rtol=1e-12
    )


def test_tests_not_made_are_not_counted() -> None:
    adjusted = benjamini_hochberg([0.02, np.nan, 0.01, np.nan])
    np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.02, np.nan])
    assert benjamini_hochberg([]).shape == (0,)
    assert np.isnan(benjamini_hochberg([np.nan])).all()


@pytest.mark.parametrize("p", [[1.2], [-0.1], [[0.1, 0.2]], 0.3])
def test_what_is_no_column_of_p_values_is_refused(p) -> None:
    with pytest.raises(EmbedStoreError, match="give one column of numbers from 0 to 1"):
        benjamini_hochberg(p)
