"""A model on its device, its identity checked against the store's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

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


M = TypeVar("M", "Model", "AnsweringModel")


@dataclass(frozen=True, slots=True)
class Ready(Generic[M]):
    """A model that the store knows, with the device that it runs on."""

    name: str
    model: M
    device: torch.device
    precision: Precision
    identity: str  # digest of what must not change between runs
    provenance: Mapping[str, Any]

    @property
    def device_kind(self) -> str:
        """`cuda` or `cpu`: which defaults hold."""
        return "cuda" if self.device.type == "cuda" else "cpu"

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's weights."""
        import torch

        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype


Loaded: TypeAlias = "Ready[Model]"
LoadedAnswering: TypeAlias = "Ready[AnsweringModel]"


def load_model(store: Store, name: str, spec: str, options: Options, progress: Progress) -> Loaded:
    """Load a model, record it in the store, and move it to its device.

    Raises
    ------
    IdentityError
        If the store knows a model of that name with another identity.
    """
    from embedstore import models

    def facts(model: Model) -> dict[str, Any]:
        return {
            "embedding_dim": model.embedding_dim,
            "has_text": model.has_text,
            "has_own_head": model.own_head is not None,
        }

    ran = {"compiled": str(options.compile)}
    ready = _ready(store, (name, spec), options, progress, models.load, facts, ran)
    ready.model.to(ready.device, ready.dtype, compile=options.compile)
    return ready


def load_answering(
    store: Store, name: str, spec: str, options: Options, progress: Progress
) -> LoadedAnswering:
    """Load a model that answers questions, record it in the store, and move it to its device.

    Raises
    ------
    IdentityError
        If the store knows a model of that name with another identity.
    """
    require("transformers", "llava")
    from embedstore import models

    def facts(_model: AnsweringModel) -> dict[str, Any]:
        return {"embedding_dim": 0, "has_text": False, "has_own_head": False}

    ran = {"transformers": version("transformers")}
    ready = _ready(store, (name, spec), options, progress, models.load_answering, facts, ran)
    ready.model.to(ready.device, ready.dtype)
    return ready


def _ready(
    store: Store,
    named: tuple[str, str],
    options: Options,
    progress: Progress,
    load: Callable[[str], M],
    facts: Callable[[M], Mapping[str, Any]],
    ran: Mapping[str, str],
) -> Ready[M]:
    """Load a model of a name and SPEC and record it, with what else its numbers depend on."""
    require("torch", "encode")
    name, spec = named
    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device.type)
    if device.type == "cpu":
        keep_freed_memory()
    progress.notice(f"loading {spec}")
    model = load(spec)
    for note in model.notes:
        progress.notice(f"{name}: {note}")
    done = provenance(device, model.notes) | dict(ran)
    record = ModelRecord(
        name=name,
        spec=spec,
        identity={**model.identity, "precision": precision, "decoder": decoder_name(options)},
        provenance=done,
        factors=zoo.factors(spec),
        weights_files=weights_files(spec),
        **facts(model),
    )
    found = save_model(store.files, record)
    return Ready(name, model, device, precision, digest_of_record(found.identity), done)


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
