"""Corruption on the fly: ImageNet-C's functions, and three of 3DCC rendered from a depth map."""
