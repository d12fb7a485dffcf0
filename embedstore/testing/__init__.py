"""Makers of small models and stores for tests, ours and those of other programs."""
