"""A user's own models."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from embedstore.errors import ModelError, UnknownNameError
from embedstore.heads import Head
from embedstore.models import load
from embedstore.models.python_adapter import ModuleModel
from embedstore.testing.model_contract import ModelContract
from embedstore.transform import Transform

SMALL = Transform(size=(8, 8), resize_to=(8, 8))

SOURCE = """
import torch
from torch import nn
from embedstore.models.python_adapter import ModuleModel
from embedstore.transform import Transform

def module(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 6))

def model(seed=0):
    torch.manual_seed(7)
    head, tower = nn.Linear(6, 3), module(seed)
    classes = ["cat", "dog", "bird"]
    return ModuleModel(tower, Transform((8, 8), (8, 8)), head, classes, layers=tower[:1])

def other():
    return model(1)

def broken():
    raise RuntimeError("no weights on this machine")

def text():
    return "a model"
"""


@pytest.fixture(scope="class")
def user_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("user")
    (folder / "users_own_models.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # found where the program was started, without PYTHONPATH
        path = list(sys.path)
        yield "python:users_own_models"
        assert sys.path == path
    sys.modules.pop("users_own_models", None)


class TestModule(ModelContract):
    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, user_module):
        return f"{user_module}:model"

    @pytest.fixture(scope="class")
    @classmethod
    def other_spec(cls, user_module):
        return f"{user_module}:other"

    @pytest.fixture(scope="class")
    @classmethod
    def reference(cls, spec):
        load(spec)
        torch.manual_seed(7)
        head = nn.Linear(6, 3)
        return sys.modules["users_own_models"].module(0), head

    def own_images(self, reference, pixels):
        return reference[0](pixels)

    def own_logits(self, reference, pixels):
        return reference[1](reference[0](pixels))

    def patch_modules(self, model):
        return [model.module[0]]

    def test_classes_keep_their_names(self, model):
        assert model.own_head.class_ids == ("cat", "dog", "bird")

    def test_what_goes_wrong_is_said(self, user_module):
        with pytest.raises(ModelError, match="RuntimeError: no weights on this machine"):
            load(f"{user_module}:broken")
        with pytest.raises(ModelError, match="returned str"):
            load(f"{user_module}:text")
        with pytest.raises(UnknownNameError, match=r"choose one of: .*broken"):
            load(f"{user_module}:nothing")
        with pytest.raises(ModelError, match="names no function"):
            load(user_module)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ModelError, match=r"'no_such_module_here' .* cannot be imported"):
        load("python:no_such_module_here:model")


class Both(nn.Module):
    """Embeddings, and logits that are no linear layer over them."""

    def forward(self, pixels):
        embeddings = pixels.mean(dim=(2, 3))
        return embeddings, embeddings.square()


def test_logits_of_the_modules_own_make_a_native_head():
    model = ModuleModel(Both(), SMALL)
    assert model.own_head.native
    assert model.own_head.class_ids == ("0", "1", "2")
    embeddings, logits = model.embed_images(torch.ones(2, 3, 8, 8))
    assert torch.equal(logits, embeddings.square())


def test_heads_must_fit():
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ModelError, match="2 class ids for 3 classes"):
        ModuleModel(module, SMALL, nn.Linear(3, 3), ["a", "b"])
    with pytest.raises(ModelError, match=r"the head is \(3, 5\)"):
        ModuleModel(module, SMALL, nn.Linear(5, 3))
    with pytest.raises(ModelError, match=r"return \(B, D\) embeddings"):
        ModuleModel(nn.Identity(), SMALL)
    native = Head(("a",), None)
    assert ModuleModel(module, SMALL, native).own_head is native
