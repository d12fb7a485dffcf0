"""What the README tells people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cli import COMMANDS, main

ROOT = Path(__file__).parents[2]

README = (ROOT / "README.md").read_text("utf-8")
CALLS = sorted(set(re.findall(r"embedstore ([a-z]+)([^`|\n]*)", README)))


@pytest.mark.parametrize(("name", "rest"), CALLS, ids=[f"{n}{r[:30]}" for n, r in CALLS])
def test_commands_and_options_exist(name, rest):
    if name not in COMMANDS:
        pytest.skip("prose")
    context = click.Context(main)
    command = main.get_command(context, name)
    words = rest.split()
    while isinstance(command, click.Group) and words:
        word = words.pop(0)
        command = None if word.endswith(".py") else command.get_command(context, word)
    for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
        if command is not None:
            assert any(option in p.opts for p in command.params), f"{name} has no {option}"


def test_every_command_is_in_the_readme():
    named = {name for name, _ in CALLS}
    assert set(COMMANDS) - named <= {"demo"}


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)`?", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_store_example_names_real_methods():
    from embedstore import Store

    for method in set(re.findall(r"store\.([a-z_]+)\(", README)):
        assert callable(getattr(Store, method))
