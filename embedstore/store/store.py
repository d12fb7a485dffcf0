"""The store: one object through which everything that was encoded is read.

Dimensions: N samples, M texts, C classes, D embedding; h, w, d of a layer's patches.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl

from embedstore import schema
from embedstore.errors import StoreError, UnknownNameError
from embedstore.store import contents, layout, outcomes
from embedstore.store.answers import answer_failures, load_answers, protocols
from embedstore.store.arrays import StoredArray
from embedstore.store.contents import ModelRecord, TextsRecord
from embedstore.store.datasets import DatasetRecord, load_dataset, load_samples
from embedstore.store.files import LocalFiles
from embedstore.store.formats import check_format
from embedstore.store.logits import StoredLogits, not_kept
from embedstore.store.manifest import Manifest, read_checked, read_manifest
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.patches import LAST, find_layer, finished_layers
from embedstore.store.plans import PLAN
from embedstore.store.records import Record, write_record
from embedstore.store.runs import FAILURES_TABLE
from embedstore.store.tables import from_parquet


class Store:
    """A store of embeddings, logits and outcomes; open one with :meth:`open`.

    Names may be given as globs where a parameter is plural (``models="open_clip--*"``).
    """

    def __init__(self, files: LocalFiles) -> None:
        self.files = files

    @classmethod
    def open(cls, path: str | Path, *, create: bool = False) -> Store:
        """Open the store at `path`.

        Parameters
        ----------
        path
            A local folder.
        create
            Make an empty store if there is none.

        Raises
        ------
        StoreError
            If there is no store, or one of a newer format, or one whose record was deleted.
        """
        files = LocalFiles(Path(path).expanduser())
        if not files.exists(layout.STORE):
            _check_absent(files, create=create)
            files.create(layout.STORE, write_record({"format": schema.FORMAT}))
        check_format(files)
        return cls(files)

    def __repr__(self) -> str:
        return f"Store({str(self.files.root)!r})"

    @property
    def models(self) -> list[str]:
        """Names of all models."""
        names = self.files.folders("models")
        return [name for name in names if self.files.exists(layout.model_record(name))]

    @property
    def datasets(self) -> list[str]:
        """Names of all data sets."""
        return contents.committed(self.files, "datasets")

    def model(self, model: str) -> ModelRecord:
        """Return a model's identity and facts."""
        return contents.load_model(self.files, model)

    def dataset(self, dataset: str) -> DatasetRecord:
        """Return a data set's classes and fingerprint."""
        return load_dataset(self.files, dataset)[0]

    def samples(self, dataset: str) -> pl.DataFrame:
        """Return the samples of a data set: row i describes row i of every array of it.

        The columns of `schema.SAMPLES`, then those of all annotations.
        """
        return load_samples(self.files, dataset)

    def texts(self, texts: str) -> tuple[TextsRecord, pl.DataFrame]:
        """Return a text set's record and its texts: row i is row i of its embeddings."""
        return contents.load_texts(self.files, texts)

    def text_sets(self, model: str) -> list[str]:
        """Names of the text sets that a model has encoded."""
        return contents.committed(self.files, f"models/{model}/texts")

    def heads(self, model: str) -> list[str]:
        """Names of a model's heads."""
        return contents.committed(self.files, f"models/{model}/heads")

    def embeddings(self, model: str, dataset: str) -> StoredArray:
        """Return the image embeddings of a run: (N, D) float16, not normalised.

        Rows of pictures that could not be read are NaN; :meth:`failures` says why.
        """
        folder = layout.images(model, dataset)
        manifest = self._run(folder, model, dataset)
        return contents.load_array(self.files, folder, "embeddings", manifest)

    def patches(self, model: str, dataset: str, layer: int | str = LAST) -> StoredArray:
        """Return the patch features of a run: (N, h, w, d) float16, rows from the top.

        Parameters
        ----------
        model, dataset
            Names.
        layer
            A block's or stage's number from 0, or from the end (-2), or ``last``.

        Returns
        -------
        StoredArray
            The layer's own output, not normalised; rows of failed pictures are NaN.
        """
        self._check_looked(model, dataset)
        folder, manifest = find_layer(self.files, model, dataset, layer)
        return contents.load_array(self.files, folder, schema.PATCHES.name, manifest)

    def patch_layers(self, model: str, dataset: str) -> list[int]:
        """Return the layers whose patch features of a run are there, numbered from 0."""
        self._check_looked(model, dataset)
        return list(finished_layers(self.files, model, dataset))

    def failures(self, model: str, dataset: str) -> pl.DataFrame:
        """Return the pictures of a run that could not be used: row, stage, reason.

        Of a model without embeddings, which answers questions, those that it was asked about first.
        """
        folder = layout.images(model, dataset)
        asked = (
            [] if self.files.exists(f"{folder}/{PLAN}") else protocols(self.files, model, dataset)
        )
        if asked:
            return answer_failures(self.files, model, dataset, asked[0])
        manifest = self._run(folder, model, dataset)
        data = read_checked(self.files, folder, FAILURES_TABLE, manifest)
        return from_parquet(data)

    def text_embeddings(self, model: str, texts: str) -> StoredArray:
        """Return a model's embeddings of a text set: (M, D) float32, not normalised."""
        folder = layout.text_embeddings(model, texts)
        manifest = read_manifest(self.files, folder)
        if manifest is None:
            self.model(model)
            raise UnknownNameError(f"text set of model {model!r}", texts, self.text_sets(model))
        return contents.load_array(self.files, folder, "embeddings", manifest)

    def logits(self, model: str, dataset: str, head: str) -> StoredLogits:
        """Return the logits of a run under a head: (N, C), widened to float32 as they are read.

        Raises
        ------
        StoreError
            If outcomes alone were kept; it says how logits come about.
        """
        folder = layout.logits(model, dataset, head)
        manifest = read_manifest(self.files, folder)
        if manifest is None:
            reason = not_kept(self.files, model, dataset, head)
            if reason:
                raise StoreError(reason)
            self._run(layout.images(model, dataset), model, dataset)
            known = contents.committed(self.files, f"models/{model}/logits/{dataset}")
            raise UnknownNameError(f"head of {model!r} on {dataset!r}", head, known)
        arrays = (
            contents.load_array(self.files, folder, schema_.name, manifest)
            for schema_ in (schema.LOGITS, schema.MAXIMUM)
        )
        return StoredLogits(*arrays)

    def answers(self, model: str, dataset: str, protocol: str) -> pl.DataFrame:
        """Return a language model's answers: columns of `schema.ANSWERS`, a row a sample and order.

        `sample_index` is the row of the data set that an answer belongs to.
        """
        return load_answers(self.files, model, dataset, protocol)

    def space(self, run: OutcomeRun) -> Record:
        """Return the label space of a run's outcomes: name, `class_ids`, rule, labels' column."""
        manifest = read_manifest(self.files, run.folder)
        if manifest is None:
            raise UnknownNameError("label space", run.space, [r.space for r in self.outcome_runs()])
        return contents.record_in(self.files, run.folder, outcomes.SPACE, manifest)

    def outcome_runs(
        self, models: str = "*", datasets: str = "*", heads: str = "*", space: str | None = None
    ) -> list[OutcomeRun]:
        """Return what names each outcome table that matches, sorted."""
        runs = []
        for model in self._models_like(models):
            base = f"models/{model}/outcomes"
            for dataset in (d for d in self.files.folders(base) if fnmatchcase(d, datasets)):
                for head in self.files.folders(f"{base}/{dataset}"):
                    spaces = contents.committed(self.files, f"{base}/{dataset}/{head}")
                    runs += [OutcomeRun(model, dataset, head, s) for s in spaces]
        return sorted(
            run for run in runs if fnmatchcase(run.head, heads) and space in (None, run.space)
        )

    def outcomes(
        self,
        models: str = "*",
        datasets: str = "*",
        space: str | None = None,
        *,
        heads: str = "*",
        samples: bool = False,
    ) -> pl.LazyFrame:
        """Return the outcomes of all matching runs, with each model's factors beside them.

        Parameters
        ----------
        models, datasets, heads
            Globs over names.
        space
            A label space; all where it is None.
        samples
            Put each data set's samples (ids, labels, annotations) beside its outcomes.

        Returns
        -------
        pl.LazyFrame
            Columns `schema.RUN`, `schema.FACTORS`, `schema.OUTCOMES`; one row a sample and run.
        """
        runs = self.outcome_runs(models, datasets, heads, space)
        records = {run.model: self.model(run.model) for run in runs}
        beside = {d: self.samples(d).lazy() for d in {r.dataset for r in runs}} if samples else None
        return outcomes.scan(self.files, runs, records, beside)

    def _models_like(self, glob: str) -> list[str]:
        if set(glob) & set("*?[/"):
            return [model for model in self.models if fnmatchcase(model, glob)]
        # one name, as analyses ask for run after run: no other model need be looked at
        return [glob] if glob and self.files.exists(layout.model_record(glob)) else []

    def _check_looked(self, model: str, dataset: str) -> None:
        """Raise unless a model has finished a data set: its embeddings, or without any, answers."""
        if not protocols(self.files, model, dataset):
            self._run(layout.images(model, dataset), model, dataset)

    def _run(self, folder: str, model: str, dataset: str) -> Manifest:
        manifest = read_manifest(self.files, folder)
        if manifest is not None:
            return manifest
        self.model(model)
        known = contents.committed(self.files, f"models/{model}/images")
        if dataset not in known and self.files.exists(f"{folder}/plan.json"):
            raise StoreError(
                f"model {model!r} has not finished data set {dataset!r}; run the same "
                "embedstore encode command again to resume it"
            )
        raise UnknownNameError(f"data set of model {model!r}", dataset, known)


def _check_absent(files: LocalFiles, *, create: bool) -> None:
    if layout.was_store(files.root):
        raise StoreError(
            f"{files.root} was a store but {layout.STORE} is missing from it; write it back with: "
            f"embedstore verify --repair {files.root}"
        )
    if not create:
        raise StoreError(
            f"there is no store at {files.root}; check the path, or make one with: embedstore "
            f"encode {files.root} --model SPEC --data NAME=SOURCE"
        )
    if files.root.is_file():
        raise StoreError(f"{files.root} is a file; a store is a folder: choose another path")
    if files.root.is_dir() and any(files.root.iterdir()):
        raise StoreError(
            f"{files.root} is a folder with other things in it; choose an empty one, or a new name"
        )


__all__ = ["Store"]
