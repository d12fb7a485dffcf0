"""What claims are tested on: groups of models, lines through them, metrics, data sets."""

from __future__ import annotations

from dataclasses import replace

from embedstore.across.points import OTHER
from embedstore.claims.evidence import Models
from embedstore.claims.lines import Expected

#: The ten factors of ImageNet-X that the study shows.
TEN = (
    "pose", "background", "pattern", "color", "smaller", "shape", "partial_view", "subcategory",
    "texture", "larger",
)  # fmt: skip
#: Shifts of ImageNet; timm's tables have the first four.
SHIFTS = (
    "imagenet-v2-matched-frequency", "imagenet-r", "imagenet-a", "imagenet-sketch", "objectnet",
)  # fmt: skip
PUBLISHED_SHIFTS = SHIFTS[:4]
#: Where models are told from baselines in shape bias: both answer over 1,000 names.
OVER_1000 = "shape-bias.shape_bias?protocol=imagenet-1000"
PROTOCOLS = (OVER_1000, "shape-bias.shape_bias?protocol=names-16")

ZERO_SHOT = Models("zero-shot CLIPs", {"group": ("zero-shot",)})
VITS = Models("zero-shot ViT CLIPs", {"group": ("zero-shot",), "architecture": ("ViT",)})
RESNETS = Models("zero-shot ResNet CLIPs", {"group": ("zero-shot",), "architecture": ("RN",)})
CONVNETS = Models(
    "zero-shot ConvNet CLIPs", {"group": ("zero-shot",), "architecture": ("RN", "ConvNeXt")}
)
BASELINES = Models("ImageNet baselines", {"group": ("imagenet",)})
TUNED = Models("fine-tuned CLIPs", {"group": ("clip-ft",)})
IN12K_FIRST = Models(
    "CLIPs tuned on ImageNet-12k first",
    {"group": ("clip-ft", OTHER), "fine_tuning": ("in12k+in1k",)},
)
IN1K_ALONE = Models(
    "CLIPs tuned on ImageNet-1k alone", {"group": ("clip-ft", OTHER), "fine_tuning": ("in1k",)}
)
SUPERVISED = Models(
    "CLIPs fine-tuned with labels",
    {"group": ("clip-ft", OTHER), "fine_tuning": ("in1k", "in12k", "in12k+in1k", "in21k+in1k")},
)
#: For regressions on design: a user's own models too, which the zoo puts in no group.
DESIGNED = Models(
    "zero-shot CLIPs and models of no group",
    {"group": ("zero-shot", OTHER), "fine_tuning": ("none",)},
)
OPEN_CLIP, OPEN_CLIP_ALL = (
    replace(ZERO_SHOT, published="open_clip"),
    Models("CLIPs", {}, "open_clip"),
)
TIMM_TUNED, TIMM_BASELINES = (replace(models, published="timm") for models in (TUNED, BASELINES))
TESTBED = replace(ZERO_SHOT, published="imagenet-testbed")
TESTBED_BASELINES = Models("baselines", {"group": ("baseline",)}, "imagenet-testbed")

#: Accuracy of a factor against overall accuracy, by factor.
FACTOR_LINES = {
    factor: Expected(
        f"factors.overall_accuracy?dataset={{id}}&factor={factor}",
        f"factors.accuracy?dataset={{id}}&factor={factor}",
        BASELINES,
    )
    for factor in TEN
}
TESTBED_LINES = {
    factor: Expected(
        "factors.overall_accuracy", f"factors.accuracy?factor={factor}", TESTBED_BASELINES
    )
    for factor in TEN
}
ERROR_RATIOS = tuple(f"factors.error_ratio?dataset={{id}}&factor={factor}" for factor in TEN)

#: Accuracy under a shift against ID accuracy, by data set: on the same classes where that is known.
SHIFT_LINES = {
    dataset: Expected(
        f"shift.id_accuracy?dataset={dataset}&id_dataset={{id}}",
        f"shift.accuracy?dataset={dataset}&id_dataset={{id}}",
        BASELINES,
    )
    for dataset in SHIFTS
}
PUBLISHED_LINES = {
    dataset: Expected(
        "accuracy.top1_accuracy?dataset={id}",
        f"accuracy.top1_accuracy?dataset={dataset}",
        TIMM_BASELINES,
    )
    for dataset in PUBLISHED_SHIFTS
}
