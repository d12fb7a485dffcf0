"""Texts to ask models with: prompts, lists of class names, and the two multiplied out."""

from embedstore.prompts.classes import (
    ClassList,
    class_list,
    imagenet,
    read_class_list,
    resolve_classes,
)
from embedstore.prompts.descriptions import DescriptionSet
from embedstore.prompts.expansion import TextSet, expand
from embedstore.prompts.sets import prompt_set, prompt_set_names, read_prompt_set
from embedstore.prompts.templates import Prompts, PromptSet
from embedstore.prompts.waffle import WaffleSet

__all__ = [
    "ClassList",
    "DescriptionSet",
    "PromptSet",
    "Prompts",
    "TextSet",
    "WaffleSet",
    "class_list",
    "expand",
    "imagenet",
    "prompt_set",
    "prompt_set_names",
    "read_class_list",
    "read_prompt_set",
    "resolve_classes",
]
