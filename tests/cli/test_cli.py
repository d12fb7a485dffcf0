"""What all commands share: help, quick starts, one line of error, exit codes, completion."""

from __future__ import annotations

import json

import click
import pytest

from cli import COMMANDS, main
from cli.arguments import pair

HEAVY = ("torch", "torchvision", "open_clip", "timm", "transformers")
LOADED = "import json; print(json.dumps([m for m in {names} if m in sys.modules]), file=sys.stderr)"
RUN = """
import sys
from cli import main
try:
    main(sys.argv[1:], prog_name="embedstore")
finally:
    {after}
"""


def leaves(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [words]
    ctx = click.Context(command)
    children = ((n, command.get_command(ctx, n)) for n in command.list_commands(ctx))
    return [leaf for n, child in children for leaf in leaves(child, (*words, n))]


ALL = leaves(main)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_help_with_an_example(call, words):
    said = call(*words, "--help")
    assert said.exit_code == 0
    assert "Example" in said.stdout
    assert f"  embedstore {' '.join(words)}" in said.stdout.partition("Example")[2]


def test_the_groups_help_names_every_command_in_the_words_of_its_own(call):
    said = call("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in said
        first = call(name, "--help").stdout.partition("\n\n")[2].strip().partition("\n")[0]
        assert first.startswith(summary.removesuffix("."))


def test_help_imports_nothing_heavy(fresh):
    names = ("torch", "polars", "numba", "zarr", "numpy", "scipy", "rich", *HEAVY)
    code = RUN.format(after=LOADED.format(names=names))
    done = fresh(code, "--help")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr) == []


@pytest.mark.parametrize(
    "words", [("analyze", "accuracy"), ("info",), ("verify",), ("rm", "--model", "a", "--dry-run")]
)
def test_reading_a_store_starts_without_a_model_library(fresh, store, words):
    code = RUN.format(after=LOADED.format(names=HEAVY))
    done = fresh(code, *words, store.files.root)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []


@pytest.mark.parametrize(
    "words",
    [
        ("bogus",),
        ("info", "--bogus", "s"),
        ("info",),
        ("encode", "s"),
        ("info", "s", "--format", "x"),
    ],
)
def test_wrong_usage_exits_with_2(call, words):
    said = call(*words)
    assert said.exit_code == 2
    assert said.stdout == ""
    assert "Usage: " in said.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("info", "none"), "embedstore: there is no store at none; check the path, or make one"),
        (("verify", "none"), "embedstore: there is no store at none; check the path"),
        (("analyze", "accuracy", "none"), "embedstore: there is no store at none"),
        (("analyze", "nope", "s"), "embedstore: unknown analysis 'nope'; choose one of: accuracy"),
        (
            ("rm", "s", "--model", "x", "--yes"),
            "embedstore: unknown model 'x'; choose one of: a, b",
        ),
        (("copy", "none", "t"), "embedstore: there is no store at none"),
    ],
)
def test_a_stated_error_is_one_line_and_exits_with_1(call, store, words, line):
    said = call(*words)
    assert said.exit_code == 1
    assert said.stdout == ""
    assert said.stderr.startswith(line)
    assert said.stderr.count("\n") == 1


def test_an_error_stays_one_line_though_a_name_holds_line_ends(call, store):
    said = call("info", "no\nsuch\nplace")
    assert said.stderr.count("\n") == 1
    assert said.stderr.startswith("embedstore: there is no store at no such place")


def test_a_bug_keeps_its_traceback(fresh, store):
    broken = "from embedstore.store import Store; Store.open = lambda *_a, **_k: 1 / 0\n"
    done = fresh(broken + RUN.format(after="pass"), "info", store.files.root)
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_an_interrupt_is_one_line(call, store, monkeypatch):
    def stopped(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("embedstore.store.maintenance.summary", stopped)
    said = call("info", "s")
    assert said.exit_code == 130
    assert said.stderr.startswith("embedstore: stopped; finished blocks are kept")
    assert said.stderr.count("\n") == 1


def test_every_command_is_where_the_table_says(monkeypatch):
    ctx = click.Context(main)
    for name in COMMANDS:
        assert main.get_command(ctx, name).name == name
    assert main.get_command(ctx, "bogus") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine=timm:resnet50", ("mine", "timm:resnet50")),
        ("timm:resnet50", ("", "timm:resnet50")),
        ("timm:resnet50?mean=0.5&std=0.5", ("", "timm:resnet50?mean=0.5&std=0.5")),
        ("mine=timm:resnet50?mean=0.5", ("mine", "timm:resnet50?mean=0.5")),
        ("open_clip:/models/a=b", ("", "open_clip:/models/a=b")),
        ("mine=open_clip:/models/a=b", ("mine", "open_clip:/models/a=b")),
        ("a/b=timm:resnet50", ("a/b", "timm:resnet50")),
        ("python:m:f", ("", "python:m:f")),
    ],
)
def test_a_name_is_told_from_the_options_of_a_spec(text, expected):
    assert pair(text, "") == expected


@pytest.mark.parametrize("text", ["pets", "folder:/data/pets", "folder:/data/a=b"])
def test_where_a_name_is_needed_its_lack_is_wrong_usage(text):
    with pytest.raises(click.BadParameter, match="must be NAME=VALUE"):
        pair(text, None)


def completions(fresh, words: str, cwd_words: int) -> list[str]:
    done = fresh(
        RUN.format(after="pass"),
        _EMBEDSTORE_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(cwd_words),
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_tab_completes_commands_analyses_options_and_names(fresh, store):
    root = store.files.root
    assert completions(fresh, "embedstore ver", 1) == ["verify"]
    assert completions(fresh, "embedstore analyze acc", 2) == ["accuracy"]
    assert completions(fresh, f"embedstore verify {root} --re", 3) == ["--repair"]
    assert completions(fresh, f"embedstore rm {root} --model ", 4) == ["a", "b"]
    assert completions(fresh, f"embedstore rm {root} --data e", 4) == ["e"]
    assert completions(fresh, f"embedstore rm {root}/none --model ", 4) == []
    assert completions(fresh, f"embedstore analyze compare {root} --first ", 5) == ["a", "b"]
    assert completions(fresh, f"embedstore analyze accuracy {root} --heads ", 5) == ["own"]
    assert completions(fresh, f"embedstore analyze factors {root} --space ", 5) == ["all"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_runs(call, fresh, shell):
    said = call("completion", shell)
    assert said.exit_code == 0
    assert "_EMBEDSTORE_COMPLETE" in said.stdout
    assert call("completion", "tcsh").exit_code == 2


def test_prompt_sets_are_listed(call):
    rows = json.loads(call("prompts", "list", "--format", "json").stdout)
    counts = {row["name"]: row["n_templates"] for row in rows}
    counts = {name: n for name, n in counts.items() if n is not None}
    assert counts == {"openai-80": 80, "openai-7": 7, "photo": 1, "name": 1}
