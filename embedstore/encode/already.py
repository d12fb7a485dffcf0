"""What a store has already of what is asked: where it has all, no model need be loaded."""

from __future__ import annotations

from collections.abc import Callable

from embedstore.encode.loading import decoder_name, weights_files
from embedstore.encode.patches import are_finished
from embedstore.encode.registration import Dataset
from embedstore.encode.request import Options, Request
from embedstore.encode.zero_shot import has_prompts
from embedstore.heads.outcomes import is_finished, is_judged
from embedstore.heads.stored import load_head
from embedstore.labels import judgements
from embedstore.prompts import ClassList, Prompts
from embedstore.store import Store, layout
from embedstore.store.contents import ModelRecord
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun

#: Name of the head that is a model's own classifier.
OWN = "own"


def is_encoded(store: Store, name: str, spec: str, request: Request, dataset: Dataset) -> bool:
    """Whether all that a request asks of a model and a data set is committed."""
    if name not in store.models or not is_same_model(store.model(name), spec, request.options):
        return False
    fingerprint = dataset.record.fingerprint
    images = read_manifest(store.files, layout.images(name, dataset.record.name))
    if images is None or images.facts["fingerprint"] != fingerprint:
        return False
    names = (name, dataset.record.name)
    if not are_finished(store, names, request.options.patches, fingerprint):
        return False
    record = store.model(name)
    if record.has_text and not _has_texts(store, name, request, dataset):
        return False
    heads = [OWN] if record.has_own_head else []
    if record.has_text:
        heads += [f"{p.name}--{classes.name}" for p, classes in prompted(request, dataset)]
    finished = is_finished if request.options.keeps_logits else is_judged
    return all(_is_head_finished(store, name, dataset, head, finished) for head in heads)


def prompted(request: Request, dataset: Dataset) -> list[tuple[Prompts, ClassList]]:
    """Return the zero-shot heads that are asked for: prompts over classes."""
    lists = [request.classes] if request.classes else dataset.class_lists
    return [(prompts, classes) for prompts in request.prompts for classes in lists]


def is_same_model(record: ModelRecord, spec: str, options: Options) -> bool:
    """Whether the model of the store is the one asked for, as far as its SPEC and files tell."""
    return (
        record.spec == spec
        and options.precision in ("auto", record.identity.get("precision"))
        and record.identity.get("decoder") == decoder_name(options)
        and record.weights_files == weights_files(spec)  # else perhaps other weights
    )


def _has_texts(store: Store, model: str, request: Request, dataset: Dataset) -> bool:
    captions = set(dataset.record.captions)
    if not captions <= set(store.text_sets(model)):
        return False
    return all(has_prompts(store, *pair) for pair in prompted(request, dataset))


def _is_head_finished(
    store: Store,
    model: str,
    dataset: Dataset,
    head: str,
    finished: Callable[[Store, OutcomeRun], bool],
) -> bool:
    if head not in store.heads(model):
        return False
    ids = load_head(store, model, head).class_ids
    runs = [
        OutcomeRun(model, dataset.record.name, head, judged.space.name)
        for judged in judgements(ids, dataset.record, dataset.samples)
    ]
    return all(finished(store, run) for run in runs)
