"""Texts to ask models with: prompt templates, lists of class names, and the two multiplied out."""

from embedstore.prompts.classes import (
    ClassList,
    class_list,
    imagenet,
    read_class_list,
    resolve_classes,
)
from embedstore.prompts.expansion import TextSet, expand
from embedstore.prompts.templates import PromptSet, prompt_set, prompt_set_names

__all__ = [
    "ClassList",
    "PromptSet",
    "TextSet",
    "class_list",
    "expand",
    "imagenet",
    "prompt_set",
    "prompt_set_names",
    "read_class_list",
    "resolve_classes",
]
