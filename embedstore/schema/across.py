"""Columns of the analyses' tables that set models against each other, or against published ones.

Bounds are of 95 % intervals unless a comment says otherwise.
"""

from __future__ import annotations
