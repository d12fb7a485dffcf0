"""Correspondence: whether patch features find the same surface point in another picture."""
