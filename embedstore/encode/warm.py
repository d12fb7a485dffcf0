"""Imported before decoding processes start: loads the compiled kernels once, for all of them.

Preparing one small picture does it: a third of a second and 60 MB, which forked processes share.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from embedstore.datasets.pictures import prepare
from embedstore.encode import worker  # noqa: F401  what the processes run
from embedstore.transform import Transform

_JPEG = io.BytesIO()
Image.fromarray(np.zeros((12, 10, 3), np.uint8)).save(_JPEG, "JPEG")
prepare(_JPEG.getvalue(), Transform(size=(4, 4), resize_to=(5, 5)))
