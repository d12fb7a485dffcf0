"""Decisions as model-vs-human writes them: one file a subject, a network or a person.

Columns `subj, session, trial, rt, object_response, category, condition, imagename`
(github.com/bethgelab/model-vs-human; the files of rgeirhos/texture-vs-shape are the same).
"""

from __future__ import annotations

from embedstore.errors import DatasetError
from embedstore.importers.stimuli import picture_names
from embedstore.importers.tables import Table

#: Id, decision; there are no confidences.
COLUMNS = ("imagename", "object_response")
#: The person saw the picture and chose none of the classes.
NO_CLASS = "na"


def check(table: Table) -> None:
    """Refuse a file of several subjects, which are several models."""
    if "subj" not in table.columns:
        return
    subjects = table.select(["subj"])["subj"].unique().sort().to_list()
    if len(subjects) > 1:
        raise DatasetError(
            f"{table.path} holds decisions of {len(subjects)} subjects ({subjects[0]}, "
            f"{subjects[1]}{', ...' if len(subjects) > 2 else ''}); split it: each is a model"
        )


__all__ = ["COLUMNS", "NO_CLASS", "check", "picture_names"]
