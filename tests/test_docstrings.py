"""Numpy-style docstrings, read."""

from __future__ import annotations

import inspect

import pytest

from embedstore import analysis, docstrings
from embedstore.errors import EmbedStoreError


def documented():
    """Say something.

    Parameters
    ----------
    store
        Where it is.
    models, datasets
        Globs over
        names.
    n_bins : int, optional
        How many; ``15`` of equal
        width.

        Or more.

    Returns
    -------
    int
        A number.

    Examples
    --------
    $ embedstore analyze documented clip.store --n-bins 5
    """


DOCSTRING = inspect.getdoc(documented)


def test_parameters_are_lines_and_those_named_together_share_theirs():
    assert docstrings.parameters(DOCSTRING) == {
        "store": "Where it is.",
        "models": "Globs over names.",
        "datasets": "Globs over names.",
        "n_bins": "How many; `15` of equal width. Or more.",
    }


def test_sections():
    assert docstrings.section(DOCSTRING, "Returns") == "int\n    A number."
    assert docstrings.section(DOCSTRING, "Raises") == ""
    assert docstrings.parameters("No sections.") == {}


@pytest.mark.parametrize("name", analysis.names())
def test_every_parameter_of_ours_has_help_that_is_a_sentence(name):
    found = analysis.find(name)
    for parameter in found.parameters:
        assert found.help_of(parameter), parameter
        assert found.help_of(parameter)[-1] in ".)", parameter


def test_an_example_is_the_docstrings_or_names_what_must_be_given():
    written = analysis.Analysis("documented", documented)
    assert written.examples == ["embedstore analyze documented clip.store --n-bins 5"]

    def needy(store, *, at_least: float, models: str = "*"):
        """Say nothing of examples."""

    assert analysis.Analysis("needy", needy).examples == [
        "embedstore analyze needy clip.store --at-least AT_LEAST"
    ]


def test_a_type_that_is_not_there_is_a_stated_error():
    def typed(store, *, where: Nowhere = None):  # noqa: F821
        """Need a type."""

    with pytest.raises(EmbedStoreError, match="'typed' cannot be read: name 'Nowhere'"):
        _ = analysis.Analysis("typed", typed).parameters
