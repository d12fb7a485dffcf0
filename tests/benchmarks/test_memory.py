"""Peak memory of encoding above a bare forward loop, at 1,000 and at 20,000 pictures.

Memory is the proportional set size of the process tree: pages that are shared count once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from embedstore.testing.models import save_random_open_clip, tiny_config

PROBE = Path(__file__).with_name("memory_probe.py")
MIB = 2**20


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    config = tiny_config("clip")
    config["vision_cfg"] |= {"image_size": 224, "patch_size": 32}
    return save_random_open_clip(tmp_path_factory.mktemp("tiny") / "tiny", config)


@pytest.fixture(scope="module")
def many(tmp_path_factory, imagenet_sample) -> Path:
    """20,000 pictures: each of 1,000 twenty times, by links."""
    folder = tmp_path_factory.mktemp("many")
    for picture in imagenet_sample.glob("*/*.JPEG"):
        target = folder / picture.parent.name
        target.mkdir()
        for i in range(20):
            (target / f"{i}.jpg").symlink_to(picture)
    return folder


def peak(*arguments: object) -> int:
    """Run the probe and return the peak of its tree's memory, bytes."""
    command = [sys.executable, str(PROBE), *map(str, arguments)]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    highest = 0
    while process.poll() is None:
        highest = max(highest, tree_memory(process))
        time.sleep(0.05)
    assert process.returncode == 0
    return highest


def tree_memory(process: psutil.Process) -> int:
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_full_info().pss
    except psutil.Error:  # one of them has just ended
        return 0
    return total


def test_memory_is_flat_in_n(benchmark, directory, imagenet_sample, many, tmp_path):
    bare = peak("bare", directory)
    small = peak("encode", directory, imagenet_sample, tmp_path / "small")
    large = benchmark.pedantic(peak, args=("encode", directory, many, tmp_path / "large"), rounds=1)
    benchmark.extra_info |= {
        "bare_mib": bare / MIB,
        "above_bare_mib_at_1000": (small - bare) / MIB,
        "above_bare_mib_at_20000": (large - bare) / MIB,
    }
