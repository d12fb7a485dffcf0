"""One language model over the data sets of a request: asked where answers are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embedstore.datasets.sources import Listing
from embedstore.encode.already import is_same_model
from embedstore.encode.answers.answer_pass import AnswerPass, AskBlock
from embedstore.encode.answers.asking import Asking, asking_about
from embedstore.encode.answers.checks import check_answers
from embedstore.encode.answers.outcomes import own_judgements, save_answer_outcomes, save_run
from embedstore.encode.answers.questions import Asker, Questions
from embedstore.encode.images import Pictures
from embedstore.encode.loading import LoadedAnswering, load_answering
from embedstore.encode.patches import (
    PatchRun,
    are_finished,
    chosen_layers,
    fitting_rows,
    start_patches,
    together,
)
from embedstore.encode.progress import Progress
from embedstore.encode.registration import Dataset
from embedstore.encode.report import Encoded, Report
from embedstore.encode.request import Options, Request, block_rows, n_workers
from embedstore.errors import IdentityError, UnknownNameError
from embedstore.store import Store, layout
from embedstore.store.answers import answer_failures, answers_manifest, load_answers
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun

#: Pictures that go through the model at once, and that a killed run loses at most.
BATCH_ROWS = {"cpu": 4, "cuda": 8}
BLOCK_ROWS = {"cpu": 32, "cuda": 1024}


def check_classes(request: Request, listings: Sequence[Listing]) -> None:
    """Refuse data sets whose classes the protocol does not fit, before a model is loaded.

    Raises
    ------
    DatasetError
        As :class:`~embedstore.encode.answers.questions.Asker`.
    """
    assert request.questions is not None, "a request for a language model has questions"
    for (name, _), listing in zip(request.data, listings, strict=True):
        names = () if listing.classes is None else listing.classes.names
        Asker(request.questions.protocol, names, name)


class Answerer:
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
        assert request.questions is not None, "a request for a language model has questions"
        self.store, self.name, self.spec = store, name, spec
        self.questions: Questions = request.questions
        self.options: Options = request.options
        self.progress, self.report = progress, report
        self._loaded: LoadedAnswering | None = None
        if self.questions.reference is not None:
            self._check_reference(*self.questions.reference, request)

    def _check_reference(self, model: str, head: str, request: Request) -> None:
        """Refuse a reference that is not there, nor comes to be before this model is asked."""
        if model in (name for name, _ in request.models):
            return
        if model not in self.store.models:
            raise UnknownNameError("model of the reference head", model, self.store.models)
        if head not in self.store.heads(model):
            heads = self.store.heads(model)
            raise UnknownNameError(f"reference head of model {model!r}", head, heads)

    @property
    def loaded(self) -> LoadedAnswering:
        """The model, loaded when it is first needed."""
        if self._loaded is None:
            args = (self.store, self.name, self.spec, self.options, self.progress)
            self._loaded = load_answering(*args)
            # An unknown layer is known before pictures are read.
            chosen_layers(self._loaded.model, self.options.patches)
        return self._loaded

    def __call__(self, datasets: list[Dataset]) -> None:
        """Ask what is missing."""
        for dataset in datasets:
            asking = asking_about(self.store, self.questions, dataset)
            name = dataset.record.name
            if self._is_answered(dataset, asking):
                write_pointer(self.store.files, self.name, name)
                self.report.already.append((self.name, name))
            else:
                self._answer(dataset, asking)
            failures = answer_failures(self.store.files, self.name, name, self.questions.name)
            self.report.n_failures += failures.height

    def _is_answered(self, dataset: Dataset, asking: Asking) -> bool:
        """Whether answers, outcomes and patches are committed, of this model and these questions.

        Raises
        ------
        IdentityError
            If other answers are there under the name of these.
        """
        if self.name not in self.store.models:
            return False
        record, names = self.store.model(self.name), (self.name, dataset.record.name)
        manifest = answers_manifest(self.store.files, *names, self.questions.name)
        if manifest is None:
            return False
        for field, wanted in asking.inputs.items():
            if manifest.facts["inputs"].get(field) != wanted:
                raise IdentityError(
                    f"{self.name} answered {self.questions.name!r} on {names[1]} with another "
                    f"{field}; give the model another name: --model NAME={self.spec}, or remove "
                    f"those: embedstore rm {self.store.files.root} --model {self.name} --data "
                    f"{names[1]} --protocol {self.questions.name}"
                )
        fingerprint = dataset.record.fingerprint
        return (
            is_same_model(record, self.spec, self.options)
            and self._has_outcomes(dataset)
            and are_finished(self.store, names, self.options.patches, fingerprint)
        )

    def _has_outcomes(self, dataset: Dataset) -> bool:
        runs = [
            OutcomeRun(self.name, dataset.record.name, self.questions.name, judged.space.name)
            for judged in own_judgements(dataset.record, dataset.samples)
        ]
        return all(read_manifest(self.store.files, run.folder) is not None for run in runs)

    def _answer(self, dataset: Dataset, asking: Asking) -> None:
        names, name = (self.name, dataset.record.name), self.questions.name
        layers = chosen_layers(self.loaded.model, self.options.patches)
        plan, run = self._plan(dataset, asking, layers), None
        if answers_manifest(self.store.files, *names, name) is None:
            run = self._started(plan, layout.answers(*names, name))
            plan = run.plan
        patches = self._patches(plan, names, layers)
        unfinished = [p for p in patches if p.run.manifest is None]
        same_pass = [p for p in unfinished if run is not None and p.fills_with(run)]
        inputs = {"inputs": dict(plan.inputs)}
        if run is not None:
            self._pass(dataset, asking.ask, run, same_pass)
            facts = {**inputs, **asking.facts, "prompt": self.loaded.model.prompt}
            save_run(self.store, names, run, name, facts)
        for apart in together([p for p in unfinished if p not in same_pass]):
            self._pass(dataset, asking.ask, None, apart)
        for layer in patches:
            layer.finish()
        judged = own_judgements(dataset.record, dataset.samples)
        answers = load_answers(self.store.files, *names, name)
        save_answer_outcomes(self.store, names, answers, self.questions, judged, inputs)
        write_pointer(self.store.files, *names)
        n_failures = answer_failures(self.store.files, *names, name).height
        self.report.encoded.append(Encoded(*names, dataset.record.n_samples, n_failures))

    def _started(self, plan: Plan, folder: str) -> BlockRun:
        """Plan the run of answers, or take over the plan that is there."""
        run = BlockRun.start(self.store.files, folder, plan)
        if self.options.batch_size not in (None, run.plan.batch_rows):
            self.progress.notice(
                f"{self.questions.name} was begun with batches of {run.plan.batch_rows}: going on "
                "so, since other batches change the last bits"
            )
        return run

    def _patches(self, plan: Plan, names: tuple[str, str], layers: list[int]) -> list[PatchRun]:
        """Plan the layers' runs, which no question has a part in."""
        inputs = {k: plan.inputs[k] for k in ("fingerprint", "model")}
        folder = layout.answers(*names, self.questions.name)
        beside = BlockRun(self.store.files, folder, replace(plan, inputs=inputs))
        return start_patches(self.store, names, self.loaded.model, layers, beside)

    def _plan(self, dataset: Dataset, asking: Asking, layers: Sequence[int]) -> Plan:
        loaded, n_rows = self.loaded, dataset.record.n_samples
        batch_rows = self.options.batch_size or BATCH_ROWS[loaded.device_kind]
        wanted = self.options.block_rows or BLOCK_ROWS[loaded.device_kind]
        shapes = [loaded.model.patch_shapes[layer] for layer in layers]
        rows = fitting_rows(shapes, batch_rows, block_rows(n_rows, batch_rows, wanted))
        inputs = {**asking.inputs, "model": loaded.identity}
        return Plan("answers", n_rows, rows, batch_rows, loaded.precision, inputs)

    def _pass(
        self, dataset: Dataset, ask: AskBlock, run: BlockRun | None, patches: list[PatchRun]
    ) -> None:
        """Ask about the pictures of all missing blocks, or only look at them for patches."""
        loaded = self.loaded
        answer_pass = AnswerPass(
            run,
            patches,
            Pictures.of(dataset),
            loaded.model,
            self.questions,
            ask,
            n_workers=self.options.workers or n_workers(loaded.device_kind),
            provenance=loaded.provenance,
            progress=self.progress,
        )
        missing = answer_pass.missing()
        if not missing:
            return
        check_answers(answer_pass)
        n_rows = answer_pass.plan.n_rows
        left = answer_pass.plan.count(missing)
        what = self.questions.name if run is not None else "patches"
        stage = f"{self.name}: {dataset.record.name}, {what}"
        self.progress.begin(stage, n_rows, n_rows - left)
        answer_pass()
        self.progress.end()
        self.report.n_images += left
