"""Names that cannot be a folder anywhere are refused."""

from __future__ import annotations

import pytest

from embedstore.errors import InvalidNameError
from embedstore.store.names import checked_name


@pytest.mark.parametrize(
    "name", ["vit-b-32", "ViT_B.32+x", "größe", "open_clip--ViT-B-32--openai", "a b"]
)
def test_names_that_serve(name):
    assert checked_name("model", name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("a/b", "slash"),
        ("a\\b", "slash"),
        ("..", "'..'"),
        ("a..b", "'..'"),
        (".hidden", "dot"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\u202eb", "control"),
        ("x" * 300, "longer"),
        ("a ", "space"),
        ("a:b", "refuse"),
    ],
)
def test_names_that_do_not(name, why):
    with pytest.raises(InvalidNameError, match=why):
        checked_name("model", name)
