"""Pairs of the field: NAVI and ScanNet as Probe3D takes them, SPair-71k.

Each is read from the copy that the data set's preset reads, and names samples as that one does.
"""
