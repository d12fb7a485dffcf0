"""What a protocol asks about the pictures of one data set, decided without the language model.

Dimensions: B rows of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embedstore.encode.answers.answer_pass import AskBlock
from embedstore.encode.answers.questions import Asked, Asker, Questions
from embedstore.encode.answers.references import Reference, labels_of
from embedstore.encode.registration import Dataset
from embedstore.store import Store
from embedstore.store.records import digest_of_record


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked about one data set."""

    ask: AskBlock
    inputs: dict[str, str]  # digests of what decides it
    facts: dict[str, Any]


def asking_about(store: Store, questions: Questions, dataset: Dataset) -> Asking:
    """Decide what is asked.

    Raises
    ------
    DatasetError
        If the data set has no classes, or too few, or the protocol wants labels that it lacks.
    EmbedStoreError
        If the reference head is not there, or does not choose among the data set's classes.
    """
    record, samples, protocol = dataset.record, dataset.samples, questions.protocol
    asker = Asker(protocol, record.class_names, record.name)
    labels = labels_of(record, samples, protocol.name) if protocol.needs_labels else None
    definition = protocol.record() | {"decoding": questions.decoding}
    inputs = {"fingerprint": record.fingerprint, "protocol": digest_of_record(definition)}
    facts: dict[str, Any] = {"protocol": definition}
    if questions.decoding == "likelihood":
        facts["nulls"] = {"text": "nothing was decoded: likelihoods decide"}
    reference = None
    if questions.reference is not None:
        reference = Reference(store, questions.reference, record, samples)
        inputs["reference head"] = digest_of_record(reference.record)
        facts["reference"] = reference.record
    ids = samples["sample_id"]

    def ask(start: int, stop: int) -> Sequence[Sequence[Asked] | None]:
        true = [None] * (stop - start) if labels is None else labels[start:stop].tolist()
        if reference is None or labels is None:
            return [asker.ask(ids[start + i], label) for i, label in enumerate(true)]
        rivals = reference.strongest_wrong(start, labels[start:stop], asker).tolist()
        return [
            None if rival < 0 else asker.ask(ids[start + i], label, rival)
            for i, (label, rival) in enumerate(zip(true, rivals, strict=True))
        ]

    return Asking(ask, inputs, facts)
