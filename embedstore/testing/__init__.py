"""Makers of small models for tests, ours and those of other programs. No test imports live here."""
