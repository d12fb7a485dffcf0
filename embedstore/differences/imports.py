"""What results that others computed were read from: files, columns, protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedstore.differences.causes import BY_HEAD, Cause, Level, against
from embedstore.differences.findings import Finding, place
from embedstore.differences.pair import Pair
from embedstore.store import Store
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun


def compare_import(pair: Pair, run: OutcomeRun) -> tuple[list[Cause], list[Finding]]:
    """Compare where the outcomes of a run were imported from; nothing where the model was run."""
    a, b = pair.both(_facts, run)
    where = place(run.model, run.dataset, run.head)
    causes, findings = [], []
    if a["sha256"] != b["sha256"]:
        findings.append(Finding.of("provenance", where, "file", a["file"], b["file"]))
        names = against("imported file", a["file"], b["file"])
        reason = names if a["file"] != b["file"] else f"contents of {a['file']} differ"
        causes.append(Cause(Level.IDENTITY, where, reason, BY_HEAD))
    for what in ("protocol", "columns", "order of rows"):
        x, y = a[what], b[what]
        if x != y:
            findings.append(Finding.of("convention", where, what, x, y))
            causes.append(Cause(Level.CONVENTION, where, against(what, x, y), BY_HEAD))
    return causes, findings


def _facts(store: Store, run: OutcomeRun) -> dict[str, Any]:
    """Return what the manifest says of an import; None for what it does not."""
    manifest = read_manifest(store.files, run.folder)
    facts: Mapping[str, Any] = manifest.facts if manifest else {}
    inputs, provenance = facts.get("inputs", {}), facts.get("provenance", {})
    columns = provenance.get("columns", {})
    return {
        "sha256": inputs.get("file"),
        "file": provenance.get("file") or inputs.get("file"),
        "protocol": facts.get("protocol") or None,
        "columns": ", ".join(f"{what} from {name}" for what, name in columns.items()) or None,
        "order of rows": inputs.get("order of rows"),
    }
