"""Label spaces: how a head's classes meet a data set's, and what is right in each."""

from embedstore.labels.class_map import ClassMap, class_map, class_map_names
from embedstore.labels.judging import Judgement, judgement, judgements
from embedstore.labels.right import Labels
from embedstore.labels.space import ALL, HEAD, LabelSpace, label_space

__all__ = [
    "ALL", "HEAD", "ClassMap", "Judgement", "LabelSpace", "Labels", "class_map", "class_map_names",
    "judgement", "judgements", "label_space",
]  # fmt: skip
