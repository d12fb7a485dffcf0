"""Scores as a user asks for them: names, hyper-parameters, Python files.

`msp,knn?k=10,mcm?temperature=0.01&scaled=true,mine.py` are four; `all` stands for every score of
ours at its defaults.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from embedstore.detection.score import SCORES, Asked, Score
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.parameters import typed
from embedstore.schema.detection import HYPERPARAMETERS, OOD
from embedstore.user_code import import_file

#: In place of a name: every score of ours.
ALL = "all"
_MODULES = (
    "logit_scores", "zero_shot_scores", "neighbour_scores", "distance_scores", "subspace_scores",
    "activation_scores",
)  # fmt: skip


def own_scores() -> dict[str, Score]:
    """Return the scores that come with the package, by name."""
    package = __package__
    for module in _MODULES:
        import_module(f"{package}.{module}")
    return {n: s for n, s in SCORES.items() if s.function.__module__.startswith(f"{package}.")}


def asked_scores(text: str) -> list[Asked]:
    """Read a list of scores, parted by commas; none twice.

    Raises
    ------
    UnknownNameError
        If there is no such score or hyper-parameter.
    EmbedStoreError
        If the list is empty, a value is not of its type, or a file marks no score.
    """
    own = own_scores()
    asked: list[Asked] = []
    for part in (p.strip() for p in text.removesuffix(",").split(",")):
        name, _, query = part.partition("?")
        if name == ALL:
            found = list(own.values())
        elif name.endswith(".py"):
            found = _in_file(Path(name))
        elif name in own:
            found = [own[name]]
        else:
            raise UnknownNameError("score", name, [*own, ALL, "FILE.py"])
        asked += [Asked(s, _given(s, query)) for s in found]
    unique = {(a.score.name, *sorted(a.hyperparameters.items())): a for a in asked}
    return list(unique.values())


def _given(score: Score, query: str) -> dict[str, Any]:
    known, given = score.parameters, {}
    for pair in (p for p in query.split("&") if p):
        key, equals, value = (t.strip() for t in pair.partition("="))
        if not equals or not value:
            raise EmbedStoreError(
                f"{score.name}?{query} is no score; write NAME?KEY=VALUE&..., such as knn?k=10"
            )
        if not known:
            raise EmbedStoreError(
                f"the score {score.name!r} has no hyper-parameter, and {key!r} is asked for; leave "
                "it out (one of your own function's stands after *)"
            )
        if key not in known:
            raise UnknownNameError(f"hyper-parameter of the score {score.name!r}", key, known)
        given[key] = typed(known[key], value)
    return given


def _in_file(path: Path) -> list[Score]:
    before = dict(SCORES)
    import_file(path)
    found = [s for n, s in SCORES.items() if before.get(n) is not s]
    if not found:
        raise EmbedStoreError(
            f"{path} marks no score; put @embedstore.detection.score(NAME) above a function that "
            'takes a subject and returns what scores a block (@score(NAME, "head") to read logits)'
        )
    for score in found:
        _check_columns(path, score)
    return found


def _check_columns(path: Path, score: Score) -> None:
    """Refuse hyper-parameters that would stand in a column of another meaning or type."""
    for name, value in ((n, p.default) for n, p in score.parameters.items() if n in OOD):
        kind = HYPERPARAMETERS[name].to_python() if name in HYPERPARAMETERS else None
        widened = kind is float and type(value) is int
        if kind is None or not (value is None or widened or type(value) is kind):
            raise EmbedStoreError(
                f"{path}: the hyper-parameter {name!r} of the score {score.name!r} has the name of "
                "a column that holds something else; rename it"
            )
