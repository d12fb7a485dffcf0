"""Heads: what turns embeddings into logits, how a store keeps them, what they say of a data set."""

from embedstore.heads.head import Head, unit, zero_shot_weights

__all__ = ["Head", "unit", "zero_shot_weights"]
