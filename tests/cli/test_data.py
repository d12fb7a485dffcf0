"""`embedstore data`."""

from __future__ import annotations

import json

import pytest
from click.shell_completion import ShellComplete

from cli import main
from embedstore.datasets.presets.catalog import presets


def test_list_names_every_preset(call):
    rows = json.loads(call("data", "list", "--format", "json").stdout)
    assert [row["name"] for row in rows] == list(presets())
    by_name = {row["name"]: row for row in rows}
    assert by_name["imagenet-a"]["rows"] == 7500
    assert by_name["imagenet-a"]["n_classes"] == 200
    assert by_name["sun"]["n_classes"] is None
    assert "cue-conflict" in call("data", "list").stdout


@pytest.mark.parametrize("name", presets())
def test_show_says_where_what_and_how(call, name):
    said = call("data", "show", name).stdout
    found = presets()[name]
    for text in (found.title, found.homepage, found.citation, f"={name}:/data/{name}"):
        assert text in said
    assert all(f"  {line}" in said for line in found.tree.strip().splitlines())
    (row,) = json.loads(call("data", "show", name, "--format", "json").stdout)
    assert (row["name"], row["rows"], row["licence"]) == (name, found.rows, found.licence or None)


def test_show_says_what_is_not_known(call):
    lines = call("data", "show", "navi").stdout.splitlines()
    assert [" ".join(line.split()) for line in lines if line.startswith(("rows", "licence"))] == [
        "licence not known",
        "rows not known",
    ]


def test_an_unknown_name_gets_the_closest(call):
    said = call("data", "show", "imagenet-aa")
    assert said.exit_code == 1
    assert "unknown data set 'imagenet-aa'; the closest: imagenet-a" in said.stderr


def test_sources_are_ready_for_data(call):
    lines = call("data", "sources", "imagenet-3dcc:/d?corruption=flash").stdout.splitlines()
    assert len(lines) == 5
    assert lines[0] == "imagenet-3dcc--flash--1=imagenet-3dcc:/d?corruption=flash&severity=1"


def test_names_are_completed():
    complete = ShellComplete(main, {}, "embedstore", "_EMBEDSTORE_COMPLETE")
    found = [item.value for item in complete.get_completions(["data", "show"], "imagenet-v2")]
    assert found == [name for name in presets() if name.startswith("imagenet-v2")]
    assert len(found) == 3
