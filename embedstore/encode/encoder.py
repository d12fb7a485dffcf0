"""Encode models over data sets into a store: texts, heads, pictures, logits, outcomes.

What is finished is left alone, what was begun is resumed, and a model is loaded only if something
is left for it to do.

Dimensions: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from embedstore import schema
from embedstore.encode.already import OWN, is_encoded, prompted
from embedstore.encode.device import Forward
from embedstore.encode.images import ImagePass, PatchPass, Pictures
from embedstore.encode.loading import Loaded, load_model
from embedstore.encode.patches import (
    PatchRun,
    chosen_layers,
    fitting_rows,
    start_patches,
    together,
)
from embedstore.encode.progress import Progress
from embedstore.encode.provenance import check_reproduces
from embedstore.encode.registration import Dataset, register
from embedstore.encode.request import (
    BATCH_ROWS,
    BLOCK_ROWS,
    Options,
    Request,
    block_rows,
    n_workers,
)
from embedstore.encode.texts import encode_texts
from embedstore.encode.zero_shot import zero_shot_head
from embedstore.heads.head import Head
from embedstore.heads.run import HeadRun, derive
from embedstore.heads.stored import load_head, save_head
from embedstore.labels import judgements
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out


@dataclass(frozen=True, slots=True)
class Encoded:
    """A run that a call of :func:`encode` worked on."""

    model: str
    dataset: str
    n_rows: int  # N
    n_failures: int  # pictures that could not be used


@dataclass(slots=True)
class Report:
    """What a call of :func:`encode` did."""

    encoded: list[Encoded] = field(default_factory=list)
    already: list[tuple[str, str]] = field(default_factory=list)  # model, data set
    n_images: int = 0  # pictures that went through a model in this call
    n_failures: int = 0  # pictures of all requested runs that could not be used


def encode(store: Store | str | Path, request: Request, progress: Progress | None = None) -> Report:
    """Encode every model of the request over every data set of it.

    Parameters
    ----------
    store
        Where to: a store, or the path of one, which is made if it is not there.
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
    listings = [source.listing() for _, source in request.data]  # before a store is made for them
    if not isinstance(store, Store):
        store = Store.open(store, create=True)
    report = Report()
    encoders = [
        Encoder(store, name, spec, request, progress, report) for name, spec in request.models
    ]
    names = [name for name, _ in request.data]
    if encoders and any(name not in store.datasets for name in names) and not request.options.limit:
        _ = encoders[0].loaded  # a model that cannot be had is known before all pictures are read
    datasets = [
        register(store, name, source, listing, request.options.limit, progress)
        for (name, source), listing in zip(request.data, listings, strict=True)
    ]
    for encoder in encoders:
        encoder(datasets)
    return report


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
        self._loaded: Loaded | None = None

    @property
    def options(self) -> Options:
        """How to encode."""
        return self.request.options

    @property
    def loaded(self) -> Loaded:
        """The model, loaded when it is first needed."""
        if self._loaded is None:
            self._loaded = load_model(self.store, self.name, self.spec, self.options, self.progress)
            # An unknown layer is known before pictures are read.
            chosen_layers(self._loaded.model, self.options.patches)
        return self._loaded

    def __call__(self, datasets: list[Dataset]) -> None:
        """Encode what is missing."""
        for dataset in datasets:
            name = dataset.record.name
            if is_encoded(self.store, self.name, self.spec, self.request, dataset):
                write_pointer(self.store.files, self.name, name)
                self.report.already.append((self.name, name))
            else:
                self._encode(dataset)
            manifest = read_manifest(self.store.files, layout.images(self.name, name))
            self.report.n_failures += int(manifest.facts["n_failures"]) if manifest else 0

    def _encode(self, dataset: Dataset) -> None:
        layers = chosen_layers(self.loaded.model, self.options.patches)
        heads = self._heads(dataset)
        run = self._image_run(dataset, layers)
        head_runs = [self._head_run(dataset, name, head, run) for name, head in heads]
        names = (self.name, dataset.record.name)
        patches = start_patches(self.store, names, self.loaded.model, layers, run)
        beside = [p for p in patches if run.manifest is None and p.fills_with(run)]
        self._pass(ImagePass, dataset, run, head_runs, beside)
        run.finish({"fingerprint": dataset.record.fingerprint})
        derive(run, head_runs)
        for apart in together([p for p in patches if p not in beside]):
            self._pass(PatchPass, dataset, run, [], apart)
        for layer in patches:
            layer.finish()
        write_pointer(self.store.files, self.name, dataset.record.name)
        n_failures = len(run.failures())
        done = Encoded(self.name, dataset.record.name, run.plan.n_rows, n_failures)
        self.report.encoded.append(done)

    def _pass(
        self,
        kind: type[ImagePass],
        dataset: Dataset,
        run: BlockRun,
        head_runs: list[HeadRun],
        patches: list[PatchRun],
    ) -> None:
        """Run the pictures of all missing blocks through the model."""
        loaded, samples = self.loaded, dataset.samples
        image_pass = kind(
            run,
            head_runs,
            Pictures(dataset.source.reader(), samples["path"], samples["n_bytes"].to_numpy()),
            Forward(loaded.model, loaded.device, loaded.precision, [p.layer for p in patches]),
            patches,
            n_workers=self.options.workers or n_workers(loaded.device_kind),
            decode=self.options.decode,
            provenance=loaded.provenance,
            progress=self.progress,
        )
        missing = image_pass.missing()
        if not missing:
            return
        check_reproduces(image_pass)
        left = sum(stop - start for start, stop in map(image_pass.plan.rows, missing))
        stage = f"{self.name}: {dataset.record.name}{', patches' if patches else ''}"
        self.progress.begin(stage, run.plan.n_rows, run.plan.n_rows - left)
        image_pass()
        self.progress.end()
        self.report.n_images += left

    def _image_run(self, dataset: Dataset, layers: list[int]) -> BlockRun:
        loaded, name = self.loaded, dataset.record.name
        n_rows = dataset.record.n_samples
        batch_rows = self.options.batch_size or BATCH_ROWS[loaded.device_kind]
        wanted = self.options.block_rows or BLOCK_ROWS[loaded.device_kind]
        shapes = [loaded.model.patch_shapes[layer] for layer in layers]
        rows = fitting_rows(shapes, batch_rows, block_rows(n_rows, batch_rows, wanted))
        shape = (n_rows, loaded.model.embedding_dim)
        plan = Plan(
            kind="images",
            n_rows=n_rows,
            block_rows=rows,
            batch_rows=batch_rows,
            precision=loaded.precision,
            inputs={"fingerprint": dataset.record.fingerprint, "model": loaded.identity},
            arrays=(lay_out(schema.EMBEDDINGS, shape, rows),),
        )
        run = BlockRun.start(self.store.files, layout.images(self.name, name), plan)
        if self.options.batch_size not in (None, run.plan.batch_rows):
            self.progress.notice(
                f"{name} was begun with batches of {run.plan.batch_rows}: going on so, since other "
                "batches change the last bits"
            )
        return run

    def _heads(self, dataset: Dataset) -> list[tuple[str, Head]]:
        loaded, names = self.loaded, []
        if loaded.model.own_head is not None:
            save_head(self.store, self.name, OWN, loaded.model.own_head, {"kind": "own"})
            names.append(OWN)
        if loaded.model.has_text:
            names += [
                zero_shot_head(self.store, loaded, prompts, classes, self.progress)
                for prompts, classes in prompted(self.request, dataset)
            ]
            for captions in dataset.record.captions:
                encode_texts(self.store, loaded, captions, self.progress)
        if not names:
            self.progress.notice(
                f"{self.name} on {dataset.record.name}: embeddings only, since there is no head"
            )
        return [(name, load_head(self.store, self.name, name)) for name in names]

    def _head_run(self, dataset: Dataset, name: str, head: Head, images: BlockRun) -> HeadRun:
        names = (self.name, dataset.record.name, name)
        judged = judgements(head.class_ids, dataset.record, dataset.samples)
        return HeadRun.start(self.store, images, names, head, judged)
