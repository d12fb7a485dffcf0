"""A model on its device, its identity checked against the store's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedstore import zoo
from embedstore.encode.device import Precision, provenance, resolve_device, resolve_precision
from embedstore.encode.heap import keep_freed_memory
from embedstore.encode.progress import Progress
from embedstore.encode.request import Options
from embedstore.errors import require
from embedstore.models.specs import local_paths
from embedstore.store import Store
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.records import digest_of_record

if TYPE_CHECKING:
    import torch

    from embedstore.models.answering import AnsweringModel
    from embedstore.models.base import Model


@dataclass(frozen=True, slots=True)
class LoadedAnswering:
    """A model that answers questions, ready to run."""

    name: str
    model: AnsweringModel
    device: torch.device
    precision: Precision
    identity: str  # digest of what must not change between runs
    provenance: Mapping[str, Any]

    @property
    def device_kind(self) -> str:
        """`cuda` or `cpu`: which defaults hold."""
        return "cuda" if self.device.type == "cuda" else "cpu"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to run."""

    name: str
    model: Model
    device: torch.device
    precision: Precision
    identity: str  # digest of what must not change between runs
    provenance: Mapping[str, Any]

    @property
    def device_kind(self) -> str:
        """`cuda` or `cpu`: which defaults hold."""
        return "cuda" if self.device.type == "cuda" else "cpu"


def load_model(store: Store, name: str, spec: str, options: Options, progress: Progress) -> Loaded:
    """Load a model, record it in the store, and move it to its device.

    Raises
    ------
    IdentityError
        If the store knows a model of that name with another identity.
    """
    require("torch", "encode")
    import torch

    from embedstore.models import load

    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device.type)
    if device.type == "cpu":
        keep_freed_memory()
    progress.notice(f"loading {spec}")
    model = load(spec)
    for note in model.notes:
        progress.notice(f"{name}: {note}")
    ran = provenance(device, model.notes) | {"compiled": str(options.compile)}
    record = ModelRecord(
        name=name,
        spec=spec,
        identity={**model.identity, "precision": precision, "decoder": decoder_name(options)},
        embedding_dim=model.embedding_dim,
        has_text=model.has_text,
        has_own_head=model.own_head is not None,
        provenance=ran,
        factors=zoo.factors(spec),
        weights_files=weights_files(spec),
    )
    found = save_model(store.files, record)
    model.to(device, getattr(torch, precision), compile=options.compile)
    return Loaded(name, model, device, precision, digest_of_record(found.identity), ran)


def load_answering(
    store: Store, name: str, spec: str, options: Options, progress: Progress
) -> LoadedAnswering:
    """Load a model that answers questions, record it in the store, and move it to its device.

    Raises
    ------
    IdentityError
        If the store knows a model of that name with another identity.
    """
    require("torch", "encode")
    from importlib.metadata import version

    import torch

    from embedstore import models

    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device.type)
    if device.type == "cpu":
        keep_freed_memory()
    progress.notice(f"loading {spec}")
    model = models.load_answering(spec)
    for note in model.notes:
        progress.notice(f"{name}: {note}")
    ran = provenance(device, model.notes) | {"transformers": version("transformers")}
    record = ModelRecord(
        name=name,
        spec=spec,
        identity={**model.identity, "precision": precision, "decoder": decoder_name(options)},
        embedding_dim=0,
        has_text=False,
        has_own_head=False,
        provenance=ran,
        factors=zoo.factors(spec),
        weights_files=weights_files(spec),
    )
    found = save_model(store.files, record)
    model.to(device, getattr(torch, precision))
    return LoadedAnswering(name, model, device, precision, digest_of_record(found.identity), ran)


def decoder_name(options: Options) -> str:
    """Return what decodes JPEGs: part of a model's identity, since pixels differ."""
    return "torchvision" if options.decode == "gpu" else "libjpeg"


def weights_files(spec: str) -> str:
    """Return a digest of sizes and times of the local files that a SPEC names; empty without any.

    While it is the same, a model need not be loaded to know that its weights are.
    """
    files: list[Path] = []
    for path in local_paths(spec):
        files += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    facts = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    return digest_of_record({"files": facts}) if facts else ""
