"""Out-of-distribution (OOD) detection: scores of stored embeddings and logits, and their areas."""

from embedstore.detection.score import Scorer, UndefinedScoreError, score
from embedstore.detection.subject import Block, Subject

__all__ = ["Block", "Scorer", "Subject", "UndefinedScoreError", "score"]
