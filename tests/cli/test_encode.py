"""What `--data` may say: a name and a source, or a preset that has names of its own."""

from __future__ import annotations

import click
import pytest

from cli.encode import _named_sources


def test_a_preset_is_named_after_itself_and_by_the_user_where_he_says_so():
    assert _named_sources("imagenet-a:/data/a") == [("imagenet-a", "imagenet-a:/data/a")]
    assert _named_sources("mine=imagenet-a:/data/a") == [("mine", "imagenet-a:/data/a")]
    assert _named_sources("pets=folder:/a=b") == [("pets", "folder:/a=b")]


def test_a_benchmark_of_corruptions_stands_for_all_that_are_there(tmp_path):
    for place in ("fog/1", "fog/3", "snow/3"):
        (tmp_path / place).mkdir(parents=True)
    whole = _named_sources(f"imagenet-c:{tmp_path}")
    assert len(whole) == 75
    (fog, *others) = _named_sources(f"imagenet-c:{tmp_path}?severity=3&corruption=fog")
    assert fog == ("imagenet-c--fog--3", f"imagenet-c:{tmp_path}?corruption=fog&severity=3")
    assert others == []


@pytest.mark.parametrize("text", ["folder:/data", "/data", "csv:a=b.csv"])
def test_other_sources_need_a_name(text):
    with pytest.raises(click.BadParameter, match="must be NAME=SOURCE"):
        _named_sources(text)
