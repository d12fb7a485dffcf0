"""A model for `python:` SPECs, light beside any real one: three convolutions at 64 pixels."""

from __future__ import annotations

import torch
from torch import nn

from embedstore.models.python_adapter import ModuleModel
from embedstore.prompts import imagenet
from embedstore.transform import Transform

SIZE, WIDTH = 64, 128


def light() -> ModuleModel:
    """Random weights, and a linear head over ImageNet's classes."""
    torch.manual_seed(0)
    tower = nn.Sequential(
        nn.Conv2d(3, WIDTH // 2, 4, 4),
        nn.ReLU(),
        nn.Conv2d(WIDTH // 2, WIDTH, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    ids = list(imagenet().ids)
    return ModuleModel(
        tower, Transform((SIZE, SIZE), (SIZE, SIZE)), nn.Linear(WIDTH, len(ids)), ids
    )
