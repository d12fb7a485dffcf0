"""Pictures, toy models and whole processes for the encoder's tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
CLASSES = ("bird", "cat", "dog", "fish")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """46 pictures of four classes, one of them no picture, one cut short."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i in range(44):
        target = folder / CLASSES[i % 4] / f"{i:03d}.jpg"
        target.parent.mkdir(exist_ok=True)
        pixels = random.integers(0, 255, (40 + i, 52, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(target, quality=90)
    (folder / "cat" / "900.jpg").write_text("this is no picture")
    whole = (folder / "dog" / "002.jpg").read_bytes()
    (folder / "dog" / "901.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture
def environment(monkeypatch) -> dict[str, str]:
    """What the toy models need, in this process and in others."""
    monkeypatch.setenv("TOY_CLASSES", ",".join(CLASSES))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.syspath_prepend(str(HERE))
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def command(environment) -> Callable[..., subprocess.Popen[str]]:
    """Start `embedstore ARGUMENTS` as a process of its own."""

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from cli import main; main()", *map(str, arguments)],
            env={**environment, **variables},
            cwd=HERE.parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a background shell ignores SIGINT, and so would its children
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    return start
