"""Encode models over data sets into a store: texts, heads, pictures, logits, outcomes.

What is finished is left alone, what was begun is resumed, and a model is loaded only if something
is left for it to do.

Dimensions: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from embedstore import schema
from embedstore.accelerate import n_threads
from embedstore.datasets.sources import Listing, Source, describe
from embedstore.encode.device import (
    Forward,
    Precision,
    provenance,
    resolve_device,
    resolve_precision,
)
from embedstore.encode.images import ImagePass, Pictures
from embedstore.encode.progress import Progress
from embedstore.encode.provenance import check_reproduces
from embedstore.encode.request import (
    BATCH_ROWS,
    BLOCK_ROWS,
    Options,
    Request,
    block_rows,
    limited_name,
)
from embedstore.encode.texts import encode_texts, text_run
from embedstore.heads.head import Head, zero_shot_weights
from embedstore.heads.run import HeadRun, derive, is_finished
from embedstore.heads.stored import load_head, save_head
from embedstore.labels import label_space
from embedstore.models.texts import BATCH_SIZE
from embedstore.prompts import ClassList, PromptSet, expand, imagenet
from embedstore.store import Store, layout
from embedstore.store.contents import (
    DatasetRecord,
    ModelRecord,
    TextsRecord,
    save_dataset,
    save_model,
    save_texts,
)
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun, Plan
from embedstore.store.shards import lay_out
from embedstore.store.tables import table

if TYPE_CHECKING:
    import torch

    from embedstore.models.base import Model

OWN = "own"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set that the store knows, with its pictures at hand."""

    record: DatasetRecord
    samples: pl.DataFrame
    source: Source


@dataclass(slots=True)
class Report:
    """What a call of :func:`encode` did."""

    encoded: list[tuple[str, str, int, int]] = field(
        default_factory=list
    )  # model, data, N, failures
    already: list[tuple[str, str]] = field(default_factory=list)  # model, data set
    n_images: int = 0  # pictures that went through a model in this call
    n_failures: int = 0  # pictures of all requested runs that could not be used


def encode(store: Store, request: Request, progress: Progress | None = None) -> Report:
    """Encode every model of the request over every data set of it.

    Parameters
    ----------
    store
        Where to; see :meth:`Store.open` with ``create=True``.
    request
        What.
    progress
        Told of what happens.

    Returns
    -------
    Report
        What was done, and what was there already.

    Raises
    ------
    EmbedStoreError
        With one line that says what to do; all blocks finished until then are kept.
    """
    progress = progress or Progress()
    datasets = [
        register(store, name, source, request.options.limit, progress)
        for name, source in request.data
    ]
    report = Report()
    for name, spec in request.models:
        Encoder(store, name, spec, request, progress, report)(datasets)
    return report


def register(
    store: Store, name: str, source: Source, limit: int | None, progress: Progress
) -> Dataset:
    """Make a data set known to the store, or find it there with the same content."""
    listing = source.listing()
    for notice in listing.notices:
        progress.notice(notice)
    if limit is not None and limit < len(listing.paths):
        name = limited_name(name, limit, len(listing.paths))
        listing = _limited(listing, limit)
    known = store.dataset(name) if name in store.datasets else None
    progress.begin(f"reading {name}", len(listing.paths))
    record, samples = describe(name, source, listing, known, progress.advance)
    progress.end()
    if samples is None:
        samples = store.samples(name)
    else:
        save_dataset(store.files, record, samples)
    return Dataset(record, samples, source)


class Encoder:
    """One model over all data sets of a request."""

    def __init__(
        self,
        store: Store,
        name: str,
        spec: str,
        request: Request,
        progress: Progress,
        report: Report,
    ) -> None:
        self.store, self.name, self.spec = store, name, spec
        self.request, self.progress, self.report = request, progress, report
        self._loaded: Model | None = None
        self._device: torch.device | None = None
        self._provenance: dict[str, Any] = {}

    @property
    def options(self) -> Options:
        """How to encode."""
        return self.request.options

    def __call__(self, datasets: list[Dataset]) -> None:
        """Encode what is missing."""
        todo = [d for d in datasets if not self._finished(d)]
        self.report.already += [(self.name, d.record.name) for d in datasets if d not in todo]
        for dataset in datasets:
            if dataset in todo:
                self._encode(dataset)
            manifest = read_manifest(
                self.store.files, layout.images(self.name, dataset.record.name)
            )
            self.report.n_failures += int(manifest.facts["n_failures"]) if manifest else 0

    def _finished(self, dataset: Dataset) -> bool:
        """Whether all that is asked of a data set is committed: then no model need be loaded."""
        if self.name not in self.store.models:
            return False
        record = self.store.model(self.name)
        if record.spec != self.spec:
            return False
        wanted = self.options.precision
        if wanted not in ("auto", record.identity["precision"]):
            return False
        images = read_manifest(self.store.files, layout.images(self.name, dataset.record.name))
        if images is None or images.facts["fingerprint"] != dataset.record.fingerprint:
            return False
        return all(
            self._head_finished(dataset, head)
            for head in self._head_names(dataset, record.has_text, record.has_own_head)
        )

    def _head_finished(self, dataset: Dataset, head: str) -> bool:
        if head not in self.store.heads(self.name):
            return False
        data = dataset.record
        ids = load_head(self.store, self.name, head).class_ids
        space = label_space(ids, data.class_ids, data.name)
        return is_finished(self.store, OutcomeRun(self.name, data.name, head, space.name))

    def _head_names(self, dataset: Dataset, has_text: bool, has_own: bool) -> list[str]:
        classes = self._classes(dataset)
        texts = [f"{p.name}--{classes.name}" for p in self.request.prompts] if classes else []
        return ([OWN] if has_own else []) + (texts if has_text else [])

    def _classes(self, dataset: Dataset) -> ClassList | None:
        """Return the classes that prompts name, or None for a data set without labels."""
        if self.request.classes is not None:
            return self.request.classes
        record = dataset.record
        if not record.class_ids:
            return None
        if record.class_list == imagenet().name:
            return imagenet()
        return ClassList(record.class_list, record.class_ids, record.class_names)

    def _encode(self, dataset: Dataset) -> None:
        model = self._model()
        heads = self._heads(dataset, model)
        run = self._image_run(dataset, model)
        head_runs = [self._head_run(dataset, name, head, run) for name, head in heads]
        pictures = Pictures(
            dataset.source.reader(), dataset.samples["path"], dataset.samples["n_bytes"].to_numpy()
        )
        assert self._device is not None
        precision = self._precision(self._device.type)
        image_pass = ImagePass(
            run,
            head_runs,
            pictures,
            Forward(model, self._device, precision),
            n_workers=self.options.workers or n_threads(),
            decode=self.options.decode,
            provenance=self._provenance,
            progress=self.progress,
        )
        self._pass(dataset, image_pass)
        run.finish({"fingerprint": dataset.record.fingerprint})
        derive(run, head_runs)
        write_pointer(self.store.files, self.name, dataset.record.name)

    def _pass(self, dataset: Dataset, image_pass: ImagePass) -> None:
        missing = image_pass.missing()
        plan = image_pass.run.plan
        if missing:
            check_reproduces(image_pass)
            left = sum(stop - start for start, stop in map(plan.rows, missing))
            stage = f"{self.name}: {dataset.record.name}"
            self.progress.begin(stage, plan.n_rows, plan.n_rows - left)
            image_pass()
            self.progress.end()
            self.report.n_images += left
        failures = image_pass.run.failures()
        self.report.encoded.append((self.name, dataset.record.name, plan.n_rows, len(failures)))

    def _image_run(self, dataset: Dataset, model: Model) -> BlockRun:
        assert self._device is not None
        kind = "cuda" if self._device.type == "cuda" else "cpu"
        batch_rows = self.options.batch_size or BATCH_ROWS[kind]
        n_rows = dataset.record.n_samples
        rows = block_rows(n_rows, batch_rows, self.options.block_rows or BLOCK_ROWS[kind])
        plan = Plan(
            kind="images",
            n_rows=n_rows,
            block_rows=rows,
            batch_rows=batch_rows,
            precision=self._precision(self._device.type),
            inputs={"fingerprint": dataset.record.fingerprint},
            arrays=(lay_out(schema.EMBEDDINGS, (n_rows, model.embedding_dim), rows),),
        )
        folder = layout.images(self.name, dataset.record.name)
        run = BlockRun.start(self.store.files, folder, plan)
        if self.options.batch_size not in (None, run.plan.batch_rows):
            self.progress.notice(
                f"{dataset.record.name} was begun with batches of {run.plan.batch_rows}: going on so, "
                "since other batches change the last bits"
            )
        return run

    def _heads(self, dataset: Dataset, model: Model) -> list[tuple[str, Head]]:
        heads = []
        if model.own_head is not None:
            save_head(self.store, self.name, OWN, model.own_head, {"kind": "own"})
            heads.append((OWN, load_head(self.store, self.name, OWN)))
        classes = self._classes(dataset)
        if model.has_text and classes is not None:
            for prompts in self.request.prompts:
                name = self._zero_shot_head(prompts, classes, model)
                heads.append((name, load_head(self.store, self.name, name)))
        if not heads:
            self.progress.notice(
                f"{self.name} on {dataset.record.name}: embeddings only, since there is no head"
            )
        return heads

    def _zero_shot_head(self, prompts: PromptSet, classes: ClassList, model: Model) -> str:
        """Encode the prompts over the classes and commit the head made of them; return its name."""
        name = save_prompts(self.store, prompts, classes)
        if name in self.store.heads(self.name):
            return name
        record, texts = self.store.texts(name)
        assert self._device is not None
        precision = self._precision(self._device.type)
        run = text_run(self.store, self.name, name, model.embedding_dim, precision, BATCH_SIZE)
        if run.manifest is None:
            encode_texts(
                self.store,
                self.name,
                name,
                run,
                model,
                provenance=self._provenance,
                progress=self.progress,
            )
        embeddings = np.asarray(self.store.text_embeddings(self.name, name))
        n_classes = len(record.class_ids)
        bias = None if model.logit_bias == 0 else np.full(n_classes, model.logit_bias, np.float32)
        head = Head(
            class_ids=record.class_ids,
            weights=zero_shot_weights(embeddings, texts["class_index"].to_numpy(), n_classes),
            bias=bias,
            scale=model.logit_scale,
            normalize=True,
        )
        manifest = read_manifest(self.store.files, layout.text_embeddings(self.name, name))
        assert manifest is not None
        save_head(
            self.store, self.name, name, head, {"kind": "zero-shot", "texts": manifest.digest}
        )
        return name

    def _head_run(self, dataset: Dataset, name: str, head: Head, images: BlockRun) -> HeadRun:
        record = dataset.record
        return HeadRun.start(
            self.store,
            images,
            (self.name, record.name, name),
            head,
            label_space(head.class_ids, record.class_ids, record.name),
            dataset.samples["label"].fill_null(-1).to_numpy(),
        )

    def _precision(self, device_type: str) -> Precision:
        return resolve_precision(self.options.precision, device_type)

    def _model(self) -> Model:
        """Load the model once, check its identity against the store's, and move it to the device."""
        if self._loaded is None:
            import torch

            from embedstore.models import load

            self._device = resolve_device(self.options.device)
            precision = self._precision(self._device.type)
            self.progress.notice(f"loading {self.spec}")
            model = load(self.spec)
            for note in model.notes:
                self.progress.notice(f"{self.name}: {note}")
            self._provenance = provenance(self._device, model.notes)
            record = ModelRecord(
                name=self.name,
                spec=self.spec,
                identity={
                    **model.identity,
                    "precision": precision,
                    "decoder": "torchvision" if self.options.decode == "gpu" else "libjpeg",
                },
                embedding_dim=model.embedding_dim,
                has_text=model.has_text,
                has_own_head=model.own_head is not None,
                provenance=self._provenance,
            )
            save_model(self.store.files, record)
            model.to(self._device, getattr(torch, precision), compile=self.options.compile)
            self._loaded = model
        return self._loaded


def save_prompts(store: Store, prompts: PromptSet, classes: ClassList) -> str:
    """Commit the prompts over the classes as a text set; return its name."""
    texts = expand(prompts, classes)
    record = TextsRecord(
        name=texts.name,
        kind="prompts",
        templates=prompts.templates,
        class_list=classes.name,
        class_ids=classes.ids,
        class_names=classes.names,
    )
    columns = {
        "text": texts.texts,
        "class_index": texts.class_index,
        "template_index": texts.template_index,
    }
    save_texts(store.files, record, table(schema.TEXTS, columns))
    return texts.name


def _limited(listing: Listing, limit: int) -> Listing:
    rows = [i * len(listing.paths) // limit for i in range(limit)]

    def pick(values: Any) -> list[Any]:
        return [values[i] for i in rows]

    return Listing(
        sample_ids=pick(listing.sample_ids),
        paths=pick(listing.paths),
        labels=pick(listing.labels),
        n_bytes=pick(listing.n_bytes),
        changed=pick(listing.changed),
        classes=listing.classes,
    )
