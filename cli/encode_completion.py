"""How a shell completes values of `embedstore encode`."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from cli.arguments import store_of


def complete_corruption(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a kind, then its severities."""
    from embedstore.datasets.corrupted.kinds import SEVERITIES, kinds

    kind, colon, _ = incomplete.partition(":")
    if colon and kind in kinds():
        return _those((f"{kind}:{severity}" for severity in (*SEVERITIES, "all")), incomplete)
    return _those((f"{kind}:" for kind in kinds()), incomplete)


def complete_kept(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the parts to keep: all, or all but logits."""
    from embedstore.encode.request import KEPT, LOGITS

    return _those((",".join(KEPT), ",".join(p for p in KEPT if p != LOGITS)), incomplete)


def complete_protocol(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a protocol, up to its count of options."""
    from embedstore.encode.answers.questions import FORMS

    return _those((form.removesuffix("N") for form in FORMS), incomplete)


def complete_reference(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete MODEL@HEAD of the store."""
    store = store_of(ctx)
    heads = [] if store is None else store.glob("models/*/heads/*")
    return _those(sorted(f"{h.parts[-3]}@{h.name}" for h in heads if h.is_dir()), incomplete)


def complete_decoding(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete how answers are had."""
    from embedstore.encode.answers.questions import DECODINGS

    return _those(DECODINGS, incomplete)


def _those(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
