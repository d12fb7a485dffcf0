"""Prompt ensembles on cached embeddings: each a head more, and no picture is looked at again.

Text embeddings of a store are averaged into weights, a set at a time, and judged over a data set's
image embeddings in one matrix product each, of which nothing but sums is kept.
"""
