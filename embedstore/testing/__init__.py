"""Makers of small models and stores for tests, ours and those of other programs."""

from embedstore.testing.simulate import simulate_store

__all__ = ["simulate_store"]
