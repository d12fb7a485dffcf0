"""Data sets of the field by name: their layouts on disk, classes, label spaces, annotations."""
