"""Which published results a test is made on."""

from __future__ import annotations

from embedstore.claims.evidence import Models


def sources_of(*models: Models) -> tuple[str, ...]:
    """Return the published results that groups of models are from, each once."""
    return tuple(sorted({m.published for m in models if m.published}))
