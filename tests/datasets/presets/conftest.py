"""Miniature copies of data sets, of tiny real pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


def _picture(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 30, 30)).save(buffer, form)
    return buffer.getvalue()


PICTURES = {"png": _picture("PNG")}
JPEG = _picture("JPEG")


@pytest.fixture
def copy(tmp_path) -> Callable[..., Path]:
    """Lay out a copy: pictures by their names, other files by name and text."""

    def lay(*pictures: str, **files: str) -> Path:
        for name in pictures:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(PICTURES.get(path.suffix[1:].lower(), JPEG))
        return tmp_path

    return lay


@pytest.fixture
def write(tmp_path) -> Callable[[str, str], Path]:
    """Put a text file into the copy."""

    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put
