"""Encode models over data sets into a store: texts, heads, pictures, logits, outcomes.

What is finished is left alone, what was begun is resumed, and a model is loaded only if something
is left for it to do.

Dimensions: N samples.
"""

from __future__ import annotations

from pathlib import Path

from embedstore import schema
from embedstore.encode.already import OWN, is_encoded, prompted
from embedstore.encode.answers.answerer import Answerer, check_classes
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
from embedstore.encode.registration import Dataset, register
from embedstore.encode.report import Encoded, Report
from embedstore.encode.request import (
    BATCH_ROWS,
    BLOCK_ROWS,
    Options,
    Request,
    block_rows,
    n_workers,
)
from embedstore.encode.stream import stream
from embedstore.encode.texts import encode_texts
from embedstore.encode.zero_shot import zero_shot_head
from embedstore.heads.head import Head
from embedstore.heads.outcomes_alone import OutcomesAlone
from embedstore.heads.run import HeadRun, HeadWork, derive
from embedstore.heads.stored import load_head, save_head
from embedstore.labels import judgements
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out


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
    # Language models last: they ask what others, perhaps of this request, mistook.
    models = sorted(request.models, key=lambda named: request.answers(named[1]))
    encoders = [
        (Answerer if request.answers(spec) else Encoder)(
            store, name, spec, request, progress, report
        )
        for name, spec in models
    ]
    names = [name for name, _ in request.data]
    if any(request.answers(spec) for _, spec in models):
        check_classes(request, listings)
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
        self._loaded_heads: dict[str, Head] = {}

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
        """Encode what is missing: texts of all data sets first, then pictures."""
        missing: list[tuple[Dataset, list[str]]] = []
        for dataset in datasets:
            name = dataset.record.name
            if is_encoded(self.store, self.name, self.spec, self.request, dataset):
                write_pointer(self.store.files, self.name, name)
                self.report.already.append((self.name, name))
            else:
                missing.append((dataset, self._heads(dataset)))
        stream(p for dataset, heads in missing for p in self._passes(dataset, heads))
        for dataset in datasets:
            manifest = read_manifest(
                self.store.files, layout.images(self.name, dataset.record.name)
            )
            self.report.n_failures += int(manifest.facts["n_failures"]) if manifest else 0

    def _passes(self, dataset: Dataset, heads: list[str]) -> list[ImagePass]:
        """Plan the passes over a data set, and what is to be done after each."""
        layers = chosen_layers(self.loaded.model, self.options.patches)
        run = self._image_run(dataset, layers)
        head_runs = [self._head_run(dataset, name, run) for name in heads]
        names = (self.name, dataset.record.name)
        patches = start_patches(self.store, names, self.loaded.model, layers, run)
        beside = [p for p in patches if run.manifest is None and p.fills_with(run)]
        apart = together([p for p in patches if p not in beside])
        passes = [
            self._pass(ImagePass, dataset, run, head_runs, beside),
            *(self._pass(PatchPass, dataset, run, [], group) for group in apart),
        ]

        def embedded() -> None:
            run.finish({"fingerprint": dataset.record.fingerprint})
            derive(run, head_runs)

        def finished() -> None:
            for layer in patches:
                layer.finish()
            write_pointer(self.store.files, *names)
            self.report.encoded.append(Encoded(*names, run.plan.n_rows, len(run.failures())))
            self.report.n_images += sum(p.n_rows for p in passes)

        passes[0].then.append(embedded)
        passes[-1].then.append(finished)
        return passes

    def _pass(
        self,
        kind: type[ImagePass],
        dataset: Dataset,
        run: BlockRun,
        head_runs: list[HeadWork],
        patches: list[PatchRun],
    ) -> ImagePass:
        loaded = self.loaded
        return kind(
            run,
            head_runs,
            Pictures.of(dataset),
            Forward(loaded.model, loaded.device, loaded.precision, [p.layer for p in patches]),
            patches,
            stage=f"{self.name}: {dataset.record.name}{', patches' if patches else ''}",
            n_workers=self.options.workers or n_workers(loaded.device_kind),
            decode=self.options.decode,
            provenance=loaded.provenance,
            progress=self.progress,
        )

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

    def _heads(self, dataset: Dataset) -> list[str]:
        """Commit heads and captions of a data set, whose texts go through the model; name heads."""
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
        return names

    def _head_run(self, dataset: Dataset, name: str, images: BlockRun) -> HeadWork:
        """Plan what a head says of a data set: logits and outcomes, or outcomes alone."""
        names = (self.name, dataset.record.name, name)
        if name not in self._loaded_heads:
            self._loaded_heads[name] = load_head(self.store, self.name, name)
        head = self._loaded_heads[name]
        judged = judgements(head.class_ids, dataset.record, dataset.samples)
        begun = BlockRun.planned(self.store.files, layout.logits(*names))
        if begun is None and not self.options.keeps_logits:
            return OutcomesAlone.start(self.store, images, names, head, judged)
        if begun is not None and begun.manifest is None and not self.options.keeps_logits:
            self.progress.notice(
                f"{name} on {dataset.record.name} was begun with logits: going on so"
            )
        return HeadRun.start(self.store, images, names, head, judged)
