"""A question about a picture as a LLaVA model reads it: template, tokens, and where they divide.

Dimensions: O options of a question.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from embedstore.errors import ModelError
from embedstore.models.answering import Question
from embedstore.models.digests import PROBE_TEXTS, json_digest
from embedstore.models.llava_sources import LlavaSource, found_file, reading

#: Files of which a local directory has one at least if it has a tokenizer.
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")

#: Files of a processor's chat template, the first that is there taken.
TEMPLATES = ("chat_template.jinja", "chat_template.json", "processor_config.json")

#: What LLaVA 1.5 was trained with (Liu et al., 2024), for directories without a template.
LLAVA_15 = "USER: {image}\n{question} ASSISTANT:"

#: Stands for a question where a template is rendered to be looked at.
PLACEHOLDER = "{question}"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A question's tokens around the picture's."""

    before: tuple[int, ...]  # up to the picture
    after: tuple[int, ...]  # from the picture to where the answer begins
    options: tuple[tuple[int, ...], ...]  # (O,) of each answer


class Prompter:
    """Brings questions into a model's template, and into tokens."""

    def __init__(self, tokenizer: Any, template: str | None, image_token_id: int) -> None:
        self.tokenizer, self._template = tokenizer, template
        self._image_id = image_token_id
        self._image = str(tokenizer.convert_ids_to_tokens(image_token_id))
        self.prompt = self.rendered(PLACEHOLDER)

    def rendered(self, question: str) -> str:
        """Return the text that the answer follows, without the space that an answer brings."""
        if self._template is None:
            return LLAVA_15.format(image=self._image, question=question)
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
        )
        return text.rstrip(" ")

    def tokens(self, question: Question) -> Tokens:
        """Return the tokens of a question and of its options.

        An option follows a space, unless the prompt ends in a line's end. Its tokens are those that
        it adds to the prompt's; where the tokenizer joins both, those of its own text.

        Raises
        ------
        ModelError
            If the template does not hold the picture once.
        """
        prompt = self.rendered(question.text)
        ids = self._ids(prompt)
        if ids.count(self._image_id) != 1:
            raise ModelError(
                f"the chat template puts {ids.count(self._image_id)} pictures ({self._image}) into "
                "a question about one; take the template that llava-hf publishes with the model"
            )
        at = ids.index(self._image_id)
        space = "" if prompt[-1:].isspace() else " "
        options = tuple(self._continued(prompt, ids, f"{space}{o}") for o in question.options)
        return Tokens(tuple(ids[:at]), tuple(ids[at + 1 :]), options)

    def digest(self) -> str:
        """Return the digest of the token ids of `PROBE_TEXTS`."""
        return json_digest([self._ids(text) for text in PROBE_TEXTS])

    def _continued(self, prompt: str, ids: list[int], option: str) -> tuple[int, ...]:
        whole = self._ids(prompt + option)
        if len(whole) > len(ids) and whole[: len(ids)] == ids:
            return tuple(whole[len(ids) :])
        alone = self.tokenizer(option, add_special_tokens=False)["input_ids"]
        if not alone:
            raise ModelError(f"option {option!r} has no tokens; give the class a name")
        return tuple(alone)

    def _ids(self, text: str) -> list[int]:
        """Return the ids of a text that goes on; a template may write its first token out."""
        first, last = self.tokenizer.bos_token, self.tokenizer.eos_token
        begins = bool(first) and text.startswith(first)
        ids: list[int] = self.tokenizer(text, add_special_tokens=not begins)["input_ids"]
        ended = bool(last) and ids[-1:] == [self.tokenizer.eos_token_id]
        return ids[:-1] if ended and not text.endswith(last) else ids


def find_prompter(source: LlavaSource, image_token_id: int) -> tuple[Prompter, tuple[str, ...]]:
    """Read a model's tokenizer and chat template; return also what had to be assumed.

    Raises
    ------
    ModelError
        If it has no tokenizer, or no template and is not of the LLaVA 1.5 family.
    """
    from transformers import AutoTokenizer

    directory = source.directory
    if directory is not None and not any((directory / name).is_file() for name in TOKENIZERS):
        raise ModelError(
            f"LLaVA directory {source.name!r} holds no tokenizer; copy tokenizer.json and "
            "tokenizer_config.json from where the model is from"
        )
    with reading(source.name, directory, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source.name, trust_remote_code=False)
        template = _template(source, tokenizer)
    if template is None and source.family != "llava":
        raise ModelError(
            f"LLaVA model {source.name!r} has no chat template; copy chat_template.jinja or "
            "chat_template.json from where the model is from"
        )
    with reading(source.name, directory, "the chat template"):
        prompter = Prompter(tokenizer, template, image_token_id)
        prompter.tokens(Question(PLACEHOLDER, ("a",)))
    if template is None:
        return prompter, (f"there is no chat template: questions are put as {prompter.prompt!r}",)
    return prompter, ()


def _template(source: LlavaSource, tokenizer: Any) -> str | None:
    """Return the processor's chat template, or the tokenizer's; None without either."""
    for name in TEMPLATES:
        path = found_file(source, name)
        text = "" if path is None else path.read_text("utf-8")
        template = json.loads(text).get("chat_template") if text and name[-4:] == "json" else text
        if template:
            return str(template)
    of_tokenizer = tokenizer.chat_template
    if isinstance(of_tokenizer, dict):
        of_tokenizer = of_tokenizer.get("default")
    return str(of_tokenizer) if of_tokenizer else None
