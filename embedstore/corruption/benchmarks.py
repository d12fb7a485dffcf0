"""Benchmarks of corruptions: what belongs to each, and of what kind it is.

ImageNet-C (Hendrycks & Dietterich, 2019) and ImageNet-3DCC (Kar et al., 2022); of any other, what
a store or a table has of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from types import MappingProxyType

import polars as pl

from embedstore.errors import EmbedStoreError
from embedstore.heads.copies import LIMITED

IMAGENET_C, IMAGENET_3DCC = "imagenet-c", "imagenet-3dcc"
SEVERITIES = (1, 2, 3, 4, 5)

#: Kinds of corruption, by benchmark: those that its figures are of.
KINDS = MappingProxyType(
    {
        IMAGENET_C: {
            "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
            "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
            "weather": ("snow", "frost", "fog", "brightness"),
            "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
        },
        IMAGENET_3DCC: {
            "focus": ("near_focus", "far_focus"),
            "camera motion": ("xy_motion_blur", "z_motion_blur"),
            "lighting": ("flash",),
            "video": ("h265_crf", "h265_abr", "bit_error"),
            "weather": ("fog_3d",),
            "noise": ("iso_noise", "color_quant", "low_light"),
        },
    }
)
#: Corruptions of ImageNet-C to tune on, which its figures leave out.
EXTRA = MappingProxyType(
    {
        "speckle_noise": "noise",
        "gaussian_blur": "blur",
        "spatter": "weather",
        "saturate": "digital",
    }
)
#: Kind of every corruption that is known.
KIND_OF = MappingProxyType(
    {c: kind for kinds in KINDS.values() for kind, names in kinds.items() for c in names}
    | dict(EXTRA)
)
_LIMITED = re.compile(rf"{LIMITED}$")


def without_limit(name: str) -> str:
    """Return the name that a data set or benchmark has when all of its pictures are taken."""
    return _LIMITED.sub("", name)


def known_as(benchmark: str) -> str | None:
    """Return the known benchmark that one of this name is; None of one of a user's own."""
    name = without_limit(benchmark)
    return name if name in KINDS else None


def corruptions_of(known: str, *, extra: bool) -> tuple[str, ...]:
    """Return the corruptions that the figures of a known benchmark are of."""
    own = tuple(c for names in KINDS[known].values() for c in names)
    return (*own, *EXTRA) if extra and known == IMAGENET_C else own


def benchmark_of(corruptions: Collection[str]) -> str | None:
    """Return the known benchmark that all of these corruptions belong to; None if there is none."""
    return next((k for k in KINDS if {*corruptions} <= {*corruptions_of(k, extra=True)}), None)


def cells_of(there: pl.DataFrame, known: str | None, *, extra: bool) -> pl.DataFrame:
    """Return what the figures of one benchmark sum over: a row a corruption and severity.

    Parameters
    ----------
    there
        `corruption` and `severity`, from 1, that any model was measured under.
    known
        Which known benchmark it is; of one of a user's own, all that is there is summed over.
    extra
        Whether the corruptions that a known one leaves out of its figures count too.

    Returns
    -------
    pl.DataFrame
        `corruption`, `severity`, `kind` and `counted`: whether figures over several corruptions are
        of it. What is there and does not count is a row too.

    Raises
    ------
    EmbedStoreError
        If a known benchmark has a severity that it cannot have.
    """
    if known is None:
        cells = there.unique().sort("corruption", "severity")
        counted = cells["corruption"].unique().to_list()
    else:
        beyond = there.filter(~pl.col("severity").is_in(SEVERITIES))
        if len(beyond):
            corruption, severity = beyond.row(0)
            raise EmbedStoreError(
                f"{known} has severities 1 to {SEVERITIES[-1]}, and here is {corruption} of "
                f"{severity}; leave it out, or give the benchmark another name"
            )
        counted = list(corruptions_of(known, extra=extra))
        others = sorted(set(there["corruption"]) - set(counted))
        whole = [(c, s) for c in (*counted, *others) for s in SEVERITIES]
        cells = pl.DataFrame(
            whole, schema={"corruption": pl.String, "severity": pl.Int64}, orient="row"
        )
    kind = pl.col("corruption").replace_strict(dict(KIND_OF), default=None, return_dtype=pl.String)
    return cells.with_columns(kind=kind, counted=pl.col("corruption").is_in(counted))
