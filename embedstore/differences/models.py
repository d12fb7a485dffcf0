"""Models that both stores hold: identity, factors of design, and provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from embedstore.differences.causes import (
    ALL,
    BY_HEAD,
    Cause,
    Level,
    Quantity,
    against,
    fields_that_differ,
)
from embedstore.differences.findings import Finding
from embedstore.differences.pair import Pair
from embedstore.store import Store

#: Fields of the identity that concern pictures alone, and texts alone.
_OF_PICTURES = frozenset({"transform", "decoder"})
_OF_TEXTS = frozenset({"tokenizer"})
_IMPORTED = "source"  # the one field of a model whose results were imported


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """What differs of a model."""

    name: str
    identity: Mapping[str, str]  # how each field that differs does, in words
    factors: Mapping[str, Cause]  # that differ, by name
    provenance: str  # how it differs, in words; empty where it does not

    def causes(self, *, pictures: bool, texts: bool) -> list[Cause]:
        """Return what of the identity and the provenance can move a run's numbers.

        Parameters
        ----------
        pictures
            Whether what became of the pictures differs, or is not known to be the same.
        texts
            The same of the head, which is made of texts, or is the model's own.
        """
        found = []
        for field, words in self.identity.items():
            moves: frozenset[Quantity] = ALL if pictures else BY_HEAD
            if field in _OF_TEXTS:
                moves = BY_HEAD
            reaches = texts if field in _OF_TEXTS else pictures
            if field not in _OF_TEXTS | _OF_PICTURES:
                reaches = pictures or texts
            if reaches:
                found.append(Cause(Level.IDENTITY, self.name, words, moves))
        if self.provenance and (pictures or texts):
            moves = ALL if pictures else BY_HEAD
            words = f"perhaps {self.provenance}"
            found.append(Cause(Level.PROVENANCE, self.name, words, moves))
        return found


def compare_model(pair: Pair, name: str) -> tuple[ModelDifference, list[Finding]]:
    """Compare the records of a model that both hold."""
    a, b = pair.both(Store.model, name)
    identity = fields_that_differ(a.identity, b.identity)
    provenance = fields_that_differ(a.provenance, b.provenance)
    factors = fields_that_differ(a.factors, b.factors)
    findings = [Finding.of("identity", name, f, x, y) for f, x, y in identity]
    findings += [Finding.of("factor", name, f, x, y) for f, x, y in factors]
    findings += [Finding.of("provenance", name, f, x, y) for f, x, y in provenance]
    imported = [_IMPORTED in record.identity for record in (a, b)]
    words = {field: against(field, x, y) for field, x, y in identity}
    if imported[0] != imported[1]:
        words = {_IMPORTED: f"the model's results are imported in {'A' if imported[0] else 'B'}"}
    # Of imported results the files that they are from say more.
    ran = "" if any(imported) else ", ".join(against(f, x, y) for f, x, y in provenance)
    return ModelDifference(name, words, _factors(name, factors), ran), findings


def _factors(model: str, factors: Iterable[tuple[str, object, object]]) -> dict[str, Cause]:
    return {
        name: Cause(Level.IDENTITY, model, against(f"factor {name}", a, b), frozenset({"number"}))
        for name, a, b in factors
    }
