"""Heads: what turns embeddings into logits, how a store keeps them, what they say of a data set."""

from embedstore.heads.class_means import ClassMean, fit_class_means
from embedstore.heads.fitting import fit_head
from embedstore.heads.head import Cache, Head, unit, zero_shot_weights
from embedstore.heads.probes import KShot, LinearProbe, fit_linear_probe
from embedstore.heads.tip_adapter import TipAdapter
from embedstore.heads.wise_ft import WiseFT, interpolate

__all__ = [
    "Cache", "ClassMean", "Head", "KShot", "LinearProbe", "TipAdapter", "WiseFT", "fit_class_means",
    "fit_head", "fit_linear_probe", "interpolate", "unit", "zero_shot_weights",
]  # fmt: skip
