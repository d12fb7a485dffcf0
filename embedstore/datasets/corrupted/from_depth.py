"""Focus and fog rendered from a depth map, after 3D Common Corruptions (Kar et al., CVPR 2022).

Depth is relative: distances count by the map's own range, so that metres, millimetres and what a
monocular network guesses give the same picture, and a map of one depth alone leaves the picture
exactly as it was. Strengths are those published for ImageNet: fog of optical depth 2 to 10 at the
farthest point, blur of standard deviation 3 to 7 pixels, of 224, at the most defocused one.

Dimensions: H, W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Optical depth of the farthest point, by severity.
OPTICAL_DEPTHS = (2.0, 4.0, 6.0, 8.0, 10.0)
#: Standard deviation of the blur where the circle of confusion is widest, pixels, by severity.
BLURS = (3.0, 4.0, 5.0, 6.0, 7.0)
#: Blurred copies that focus is composed of: their blurs lie less than a pixel apart.
N_LAYERS = 8


def rendered(picture: U8, depth: F64, kind: str, severity: int) -> U8:
    """Corrupt a picture by its depth: (H, W, 3), (H, W) -> (H, W, 3).

    Parameters
    ----------
    picture, depth
        Depth in any unit, finite and above 0.
    kind
        `near_focus`: the nearest point is in focus; `far_focus`: the farthest; `fog_3d`.
    severity
        1 to 5.
    """
    if kind == "fog_3d":
        return fogged(picture, depth, OPTICAL_DEPTHS[severity - 1])
    focus = depth.min() if kind == "near_focus" else depth.max()
    return defocused(picture, circle_of_confusion(depth, float(focus)), BLURS[severity - 1])


def fogged(picture: U8, depth: F64, optical_depth: float) -> U8:
    """Mix in the atmosphere's light by the transmittance: (H, W, 3), (H, W) -> (H, W, 3).

    Transmittance is exp(-optical_depth * d), d the depth between the nearest, 0, and the farthest
    point, 1; the atmosphere is grey, of the picture's mean intensity.
    """
    transmittance = np.exp(-optical_depth * _relative(depth))[..., None]
    light = picture.mean()
    fog: U8 = np.rint(light + transmittance * (picture - light)).astype(np.uint8)
    return fog


def circle_of_confusion(depth: F64, focus: float) -> F64:
    """Return each point's circle of confusion over the widest: (H, W) -> (H, W) in [0, 1].

    That of a thin lens is proportional to |1/z - 1/z_focus|.
    """
    return _relative(np.abs(1 / depth - 1 / focus))


def defocused(picture: U8, confusion: F64, widest: float) -> U8:
    """Blur each point by its circle of confusion: (H, W, 3), (H, W) -> (H, W, 3).

    A stack of copies, blurred more and more, is composed by interpolating between the two whose
    blurs enclose the point's own. `widest` is the standard deviation, in pixels, where `confusion`
    is 1; where it is 0, the pixel stays as it was.
    """
    from scipy.ndimage import gaussian_filter

    place = confusion * N_LAYERS
    sharp = picture.astype(np.float32)
    composed = sharp * _weight(place, 0)
    for layer in range(1, N_LAYERS + 1):
        weight = _weight(place, layer)
        if weight.any():
            sigma = widest * layer / N_LAYERS
            composed += weight * gaussian_filter(sharp, (sigma, sigma, 0), mode="nearest")
    blurred: U8 = np.rint(composed).astype(np.uint8)
    return blurred


def _weight(place: F64, layer: int) -> F32:
    """Weight of a layer: 1 at its place, 0 at its neighbours': (H, W) -> (H, W, 1)."""
    weight: F32 = np.maximum(0, 1 - np.abs(place - layer)).astype(np.float32)
    return weight[..., None]


def _relative(values: F64) -> F64:
    """Bring values to [0, 1]; all to 0 where they are equal."""
    least, spread = values.min(), np.ptp(values)
    return (values - least) / spread if spread else np.zeros_like(values)
