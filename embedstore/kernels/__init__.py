"""Numba functions, arrays to arrays. They know no store, no model and no data set."""
