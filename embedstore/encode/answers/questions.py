"""What a language model is asked about a picture: protocols, their wording, and what answers mean.

`two-options`: the true class and the strongest wrong class of a reference head, in both orders
(Zhang et al., ImageNet-D, CVPR 2024). `letters-N`: all N classes of the data set behind letters, in
their order, to be answered by a letter (as in Gavrikov et al., 2024, on cue-conflict pictures).
`n-way-N`: the true class among N - 1 that the sample's id draws, in an order that it draws too, and
in the reverse of it.

It knows class names and labels, neither models nor stores.

Dimensions: C classes of the data set, K options of a question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from string import ascii_uppercase
from typing import Any, Literal

from embedstore.errors import DatasetError, EmbedStoreError, UnknownNameError
from embedstore.models.answering import Question

#: Counts up whenever what is asked or how texts are read changes: answers of different versions
#: are never mixed.
VERSION = 2
#: {options} stands for the names, parted by commas; LLaVA's own words ask for a short answer.
AMONG = (
    "What is the main object in this image? Choose from the following list: {options}.\n"
    "Answer the question using a single word or phrase."
)
#: {options} stands for a line an option, such as "A. airplane".
LETTERED = (
    "Which option best describes the image?\n{options}\n"
    "Answer with the option's letter from the given choices directly."
)
#: What an n-way protocol's draws depend on, besides the sample's id.
SEED = 0
#: Tokens of an answer that is decoded greedily.
GREEDY_TOKENS = 16

#: What may part the words of a name: "sea lion" is "sea-lion".
_PARTED = r"[\s_-]+"
#: The beginning of a word that may follow an article or a pronoun.
_WORD = r"[^\S\n]+(?!(?:or|and|nor|is|because)\b|[A-Z](?![-'’]?\w))\w"
#: A letter that stands alone, unless it is the article "A" or the pronoun "I".
_LETTER = re.compile(rf"(?<!\w)(?!A{_WORD}|I,?{_WORD})[A-Z](?![-'’]?\w)")
#: Says of whatever else is named that it is not there.
_DENIAL = re.compile(r"\b(?:none|neither)\b", re.IGNORECASE)

TWO_OPTIONS = "two-options"
FORMS = (TWO_OPTIONS, "letters-N", "n-way-N")
Decoding = Literal["likelihood", "greedy"]
DECODINGS = ("likelihood", "greedy")


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a language model is asked."""

    name: str
    kind: str  # two-options, letters, n-way
    n_options: int  # K

    @property
    def n_orders(self) -> int:
        """In how many orders the options are put."""
        return 1 if self.kind == "letters" else 2

    @property
    def needs_labels(self) -> bool:
        """Whether the true class must be among few."""
        return self.kind != "letters"

    def record(self) -> dict[str, Any]:
        """Return all that decides what is asked, as JSON values."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "n_options": self.n_options,
            "n_orders": self.n_orders,
            "question": LETTERED if self.kind == "letters" else AMONG,
            "seed": SEED if self.kind == "n-way" else None,
        }


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises
    ------
    UnknownNameError
        If it is none of `FORMS`.
    EmbedStoreError
        If N is below 2, or there are not as many letters.
    """
    if name == TWO_OPTIONS:
        return Protocol(name, TWO_OPTIONS, 2)
    found = re.fullmatch(r"(letters|n-way)-(\d+)", name)
    if found is None:
        raise UnknownNameError("protocol", name, FORMS)
    kind, n_options = found[1], int(found[2])
    most = len(ascii_uppercase) if kind == "letters" else None
    if n_options < 2 or (most and n_options > most):
        limit = f"from 2 to {most}" if most else "2 or more"
        raise EmbedStoreError(f"protocol {name!r} offers {n_options} options; give N {limit}")
    return Protocol(f"{kind}-{n_options}", kind, n_options)


@dataclass(frozen=True, slots=True)
class Questions:
    """What a user wants asked, and how answers are had."""

    protocol: Protocol
    reference: tuple[str, str] | None = None  # model and head whose strongest wrong class is asked
    decoding: Decoding = "likelihood"

    @classmethod
    def of(cls, protocol: str, reference: str | None, decoding: str) -> Questions:
        """Read what a user wrote, the reference as ``MODEL@HEAD``.

        Raises
        ------
        EmbedStoreError
            If the protocol needs a reference and has none, or has one and needs none.
        """
        if decoding not in DECODINGS:
            raise UnknownNameError("decoding", decoding, DECODINGS)
        found = find_protocol(protocol)
        if (found.kind == TWO_OPTIONS) != (reference is not None):
            state, remedy = ("needs", "add") if reference is None else ("has no use for", "drop")
            raise EmbedStoreError(
                f"protocol {found.name!r} {state} a reference head; {remedy} --reference-head "
                "MODEL@HEAD"
            )
        model, at, head = (reference or "").rpartition("@")
        if reference is not None and not (model and at and head):
            raise EmbedStoreError(
                f"--reference-head {reference!r} is not MODEL@HEAD; write for example "
                "clip@openai-80--imagenet"
            )
        return cls(found, (model, head) if reference else None, decoding)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """What answers and outcomes are called in the store."""
        return self.protocol.name + ("-greedy" if self.decoding == "greedy" else "")

    @property
    def max_tokens(self) -> int:
        """Tokens decoded greedily."""
        return GREEDY_TOKENS if self.decoding == "greedy" else 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about one picture, in one order."""

    question: Question  # with what is scored: the options' names, or their letters
    names: tuple[str, ...]  # (K,) options as put
    classes: tuple[int, ...]  # (K,) of the data set

    def place(self, text: str) -> int | None:
        """Return the option that a text names; None where it names none, or several."""
        return _named(text, self.question.options, self.names)


class Asker:
    """Puts questions about pictures of one data set."""

    def __init__(self, protocol: Protocol, names: Sequence[str], dataset: str) -> None:
        """Check that the protocol fits a data set of C classes, by their names.

        Raises
        ------
        DatasetError
            If it has none, or the protocol does not fit them.
        """
        if not names:
            raise DatasetError(
                f"data set {dataset!r} has no classes to ask about; give it labels: a folder a "
                "class, or a manifest with a column label"
            )
        self.protocol, self.names = protocol, tuple(" ".join(name.split()) for name in names)
        self._keys = tuple(map(_key, self.names))
        n_names = len(set(self._keys))
        if protocol.kind == "letters" and not protocol.n_options == n_names == len(names):
            what = f"{len(names)} classes" if n_names == len(names) else f"only {n_names} names"
            raise DatasetError(
                f"data set {dataset!r} has {what} where protocol {protocol.name!r} offers "
                f"{protocol.n_options}; choose letters-N with its count of classes, or n-way-N"
            )
        if protocol.n_options > n_names:
            raise DatasetError(
                f"data set {dataset!r} has {n_names} classes of different names, fewer than "
                f"protocol {protocol.name!r} offers; choose another protocol"
            )

    def ask(self, sample_id: str, label: int | None, rival: int | None = None) -> list[Asked]:
        """Return the questions about a sample, one an order.

        Parameters
        ----------
        sample_id
            What draws depend on.
        label, rival
            The true class, and the wrong one that competes with it, where the protocol wants them.
        """
        if self.protocol.kind == "letters":
            return [self._lettered()]
        assert label is not None, "labels are checked before anything is asked"
        if self.protocol.kind == TWO_OPTIONS:
            assert rival is not None, "a reference names the other option"
            order = [label, rival]
        else:
            order = self._drawn(sample_id, label)
        return [self._among(order), self._among(order[::-1])]

    def alike(self, label: int) -> list[int]:
        """Return the classes of a class's name, which no question could tell apart."""
        return [c for c, key in enumerate(self._keys) if key == self._keys[label]]

    def other(self, label: int) -> int:
        """Return the first class of another name."""
        alike = self.alike(label)
        return next(c for c in range(len(self.names)) if c not in alike)

    def _drawn(self, sample_id: str, label: int) -> list[int]:
        """Draw the classes of an n-way question, the true one among them, in an order of chance.

        Classes are sorted by a digest, which no version of a library changes.
        """

        def drawn(what: str, c: int) -> bytes:
            return sha256(f"{SEED}\0{what}\0{sample_id}\0{self.names[c]}\0{c}".encode()).digest()

        chosen, taken = [label], {self._keys[label]}
        for c in sorted(range(len(self.names)), key=lambda c: drawn("distractor", c)):
            if len(chosen) == self.protocol.n_options:
                break
            if self._keys[c] not in taken:
                chosen.append(c)
                taken.add(self._keys[c])
        return sorted(chosen, key=lambda c: drawn("order", c))

    def _among(self, classes: Sequence[int]) -> Asked:
        names = tuple(self.names[c] for c in classes)
        text = AMONG.format(options=", ".join(names))
        return Asked(Question(text, names), names, tuple(classes))

    def _lettered(self) -> Asked:
        letters = tuple(ascii_uppercase[: self.protocol.n_options])
        pairs = zip(letters, self.names, strict=True)
        text = LETTERED.format(options="\n".join(f"{letter}. {name}" for letter, name in pairs))
        return Asked(Question(text, letters), self.names, tuple(range(len(letters))))


def _named(text: str, answers: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the one option that a text names, by its letter, its name or both; else None.

    Names count as whole words, whatever their case; one that is part of a longer one does not.
    """
    lettered = tuple(answers) != tuple(names)
    keys = [(_key(name), i) for i, name in enumerate(names)]
    if lettered:
        keys = [(key, i) for key, i in keys if key.upper() not in answers]
    keys.sort(key=lambda one: len(one[0]), reverse=True)
    found = set[int]()

    def taken(name: re.Match[str]) -> str:
        found.add(keys[(name.lastindex or 0) - 1][1])
        return "it"  # a word, before which "A" is an article

    either = "|".join(f"({re.escape(key)})" for key, _ in keys).replace(r"\ ", _PARTED)
    anyone = rf"(?<![^\W_])(?:{either})(?![^\W_])"
    rest = re.sub(anyone, taken, text, flags=re.IGNORECASE) if keys else text
    if _DENIAL.search(rest):
        return None
    if lettered:
        found |= {list(answers).index(a) for a in _LETTER.findall(rest) if a in answers}
    return found.pop() if len(found) == 1 else None


def _key(name: str) -> str:
    """Return what names have in common that differ in case and in what parts their words."""
    return " ".join(re.split(_PARTED, name)).strip().casefold() or name
