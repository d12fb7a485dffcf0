"""The claims of the study as data, in its order: tests, models and rules.

Margins: what is said *not* to differ may differ by a stated margin, since no interval excludes that
two groups are equal.
"""

from __future__ import annotations

from embedstore.claims.claim import Claim
from embedstore.claims.correlation import RankCorrelation
from embedstore.claims.evidence import Models
from embedstore.claims.explained import FactorExplains, FactorExplainsMore
from embedstore.claims.finding import Rule
from embedstore.claims.groups import Change, MeanDifference, ShareExceeding
from embedstore.claims.language import AgainstEncoder
from embedstore.claims.lines import AboveLine, Expected, HigherAboveLine, LinesExceeded
from embedstore.claims.pairs import (
    HigherResolution,
    PublishedResolution,
    TunedAgainstOrigin,
)
from embedstore.claims.subjects import (
    BASELINES,
    CONVNETS,
    DESIGNED,
    ERROR_RATIOS,
    FACTOR_LINES,
    IN1K_ALONE,
    IN12K_FIRST,
    OPEN_CLIP,
    OPEN_CLIP_ALL,
    OVER_1000,
    PROTOCOLS,
    PUBLISHED_LINES,
    RESNETS,
    SHIFT_LINES,
    SHIFTS,
    SUPERVISED,
    TESTBED,
    TESTBED_LINES,
    TIMM_TUNED,
    TUNED,
    VITS,
    ZERO_SHOT,
)

ABOVE, BELOW, SIGNIFICANT = Rule("above"), Rule("below"), Rule("significant")
#: Shape bias that counts as kept, and accuracy on easy classes as no gain.
KEPT, NO_MORE, NO_GAIN = Rule("above", -0.05), Rule("below", 0.05), Rule("below", 0.02)
#: More than one model in twenty.
SOME = Rule("above", 0.05)

FACTORS = (
    Claim(
        "clip-above-baselines-in-six-factors", "factors",
        "Zero-shot CLIP lies above the baselines in at least six of the ten visual factors.",
        LinesExceeded(FACTOR_LINES, ZERO_SHOT), Rule("above", 5.5),
        LinesExceeded(TESTBED_LINES, TESTBED),
    ),
    Claim(
        "clip-below-baselines-in-pose", "factors",
        "Zero-shot CLIP lies below the baselines in pose.",
        AboveLine(FACTOR_LINES["pose"], ZERO_SHOT), BELOW,
        AboveLine(TESTBED_LINES["pose"], TESTBED),
    ),
    Claim(
        "clip-below-baselines-in-partial-view", "factors",
        "Zero-shot CLIP lies below the baselines in partial view.",
        AboveLine(FACTOR_LINES["partial_view"], ZERO_SHOT), BELOW,
        AboveLine(TESTBED_LINES["partial_view"], TESTBED),
    ),
    Claim(
        "training-source-shifts-factor-trends", "factors",
        "The training distribution shifts CLIP's trends of visual factors.",
        FactorExplains(ERROR_RATIOS, "training_distribution", DESIGNED), SIGNIFICANT,
    ),
)  # fmt: skip

ROBUSTNESS = (
    *(
        Claim(
            f"zero-shot-above-imagenet-line-{dataset}", "robustness",
            f"Zero-shot CLIP's effective robustness on {dataset} lies above the ImageNet "
            "baselines' line.",
            AboveLine(SHIFT_LINES[dataset], ZERO_SHOT), ABOVE,
            AboveLine(PUBLISHED_LINES[dataset], OPEN_CLIP) if dataset in PUBLISHED_LINES else None,
        )
        for dataset in SHIFTS
    ),
    *(
        Claim(
            f"fine-tuning-lowers-robustness-{dataset}", "robustness",
            f"Fine-tuning lowers CLIP's effective robustness on {dataset}.",
            HigherAboveLine(SHIFT_LINES[dataset], TUNED, ZERO_SHOT), BELOW,
            HigherAboveLine(PUBLISHED_LINES[dataset], TIMM_TUNED, OPEN_CLIP)
            if dataset in PUBLISHED_LINES
            else None,
        )
        for dataset in SHIFTS
    ),
)  # fmt: skip

SHAPE_BIAS = (
    Claim(
        "vit-clip-more-shape-biased", "shape-bias",
        "Zero-shot ViT CLIPs are more shape-biased than ImageNet baselines.",
        MeanDifference(OVER_1000, VITS, BASELINES), ABOVE,
    ),
    Claim(
        "resnet-clip-not-more-shape-biased", "shape-bias",
        "Zero-shot ResNet CLIPs are not more shape-biased than ImageNet baselines.",
        MeanDifference(OVER_1000, RESNETS, BASELINES), NO_MORE,
    ),
    Claim(
        "fine-tuning-lowers-shape-bias", "shape-bias",
        "Fine-tuning with labels lowers CLIP's shape bias.",
        TunedAgainstOrigin(PROTOCOLS, SUPERVISED, ZERO_SHOT), BELOW,
    ),
    *(
        Claim(
            f"{kind}-tuning-keeps-shape-bias", "shape-bias",
            f"{kind.capitalize()} tuning keeps CLIP's shape bias.",
            TunedAgainstOrigin(
                PROTOCOLS, Models(f"CLIPs of {kind} tuning", {"fine_tuning": (kind,)}), ZERO_SHOT
            ),
            KEPT,
        )
        for kind in ("contrastive", "parameter-efficient")
    ),
    Claim(
        "higher-resolution-raises-imagenet-accuracy", "shape-bias",
        "Fine-tuning at a higher resolution raises ImageNet accuracy.",
        HigherResolution("imagenet_accuracy"), ABOVE,
        PublishedResolution("accuracy.top1_accuracy?dataset={id}", TIMM_TUNED),
    ),
    *(
        Claim(
            f"higher-resolution-lowers-{column.replace('_', '-')}", "shape-bias",
            f"Fine-tuning at a higher resolution lowers {words}.",
            HigherResolution(column), BELOW,
        )
        for column, words in (
            ("shape_bias", "shape bias"),
            ("stylized_accuracy", "accuracy on Stylized-ImageNet"),
        )
    ),
)  # fmt: skip

AUROC = "ood.auroc?ood=inaturalist&id_dataset={id}"
OOD = (
    *(
        Claim(
            f"id-accuracy-predicts-ood-detection-{source.lower()}", "ood",
            f"Among CLIPs trained on {source}, ID accuracy predicts OOD detection.",
            RankCorrelation(
                "accuracy.top1_accuracy?dataset={id}", f"{AUROC}&score=mcm",
                Models(
                    f"zero-shot CLIPs trained on {source}",
                    {"group": ("zero-shot",), "training_distribution": (source,)},
                ),
            ),
            ABOVE,
        )
        for source in ("WIT", "LAION-2B")
    ),
    Claim(
        "source-matters-more-than-size-for-ood", "ood",
        "The training distribution matters more to OOD detection than its size.",
        FactorExplainsMore(
            f"{AUROC}&score=mcm", "training_distribution", DESIGNED, other_factor="training_size"
        ),
        ABOVE,
    ),
    Claim(
        "imagenet-12k-first-detects-ood-better", "ood",
        "Fine-tuning on ImageNet-12k before ImageNet-1k detects OOD better.",
        TunedAgainstOrigin(
            (f"{AUROC}&score=msp",),
            IN12K_FIRST, IN1K_ALONE, ("resolution",),
        ),
        ABOVE,
    ),
)  # fmt: skip

ECE = "calibration.ece?dataset={id}&id_dataset={id}"
CALIBRATION = (
    Claim(
        "clip-not-always-better-calibrated", "calibration",
        "Some zero-shot CLIPs are worse calibrated than the ImageNet baselines.",
        ShareExceeding(ECE, ZERO_SHOT, BASELINES), SOME,
    ),
    *(
        Claim(
            f"training-{words}-drives-calibration", "calibration",
            f"The {words} of the training data drives CLIP's calibration.",
            FactorExplains((ECE,), factor, DESIGNED), SIGNIFICANT,
        )
        for words, factor in (
            ("source", "training_distribution"),
            ("quantity", "training_size"),
        )
    ),
    Claim(
        "scaled-clip-follows-a-trend-of-its-own", "calibration",
        "After temperature scaling, CLIP's calibration error at its accuracy lies off the ImageNet "
        "baselines' line.",
        AboveLine(
            Expected(
                "calibration.accuracy?dataset={id}&id_dataset={id}",
                "calibration.ece_scaled?dataset={id}&id_dataset={id}",
                BASELINES,
                axes=("probit", "linear"),
            ),
            ZERO_SHOT,
        ),
        Rule("apart"),
    ),
    *(
        Claim(
            f"temperature-transfers-to-{dataset}", "calibration",
            f"A temperature fitted in distribution lowers CLIP's calibration error on {dataset}.",
            Change(
                f"calibration.ece_before?dataset={dataset}&id_dataset={{id}}",
                f"calibration.ece_scaled?dataset={dataset}&id_dataset={{id}}",
                ZERO_SHOT,
            ),
            BELOW,
        )
        for dataset in SHIFTS
    ),
)  # fmt: skip

PROMPTS = tuple(
    Claim(
        f"prompts-affect-{words}-more-than-factors", "prompts",
        f"Prompts affect {said} more than accuracy by visual factor.",
        FactorExplainsMore(metric, "prompts", DESIGNED, other_metrics=ERROR_RATIOS), ABOVE,
    )
    for words, said, metric in (
        ("ood", "OOD detection", f"{AUROC}&score=mcm"),
        ("calibration", "calibration", ECE),
    )
)  # fmt: skip

RETRIEVAL = tuple(
    Claim(
        f"{name}-retrieval-follows-classification-{dataset.partition('-')[0]}", "retrieval",
        f"Recall@1 of {name} retrieval on {dataset} follows ImageNet accuracy.",
        RankCorrelation(accuracy, recall, ZERO_SHOT), ABOVE,
        RankCorrelation(accuracy, recall, OPEN_CLIP_ALL),
    )
    for dataset in ("coco-karpathy", "flickr30k-karpathy")
    for name, direction in (("image", "text-to-image"), ("text", "image-to-text"))
    for accuracy, recall in [(
        "accuracy.top1_accuracy?dataset={id}",
        f"retrieval.recall?dataset={dataset}&direction={direction}&k=1",
    )]
)  # fmt: skip

#: Of keypoint pairs, the mean over classes.
PCK = "correspondence.recall?dataset=spair-71k&unit=box&threshold=0.1&group=none"
THREE_D = (
    Claim(
        "clip-convnets-beat-vits-under-3d-corruption", "3d",
        "CLIP's ConvNets err less under 3D corruption than its ViTs.",
        MeanDifference(
            "corruptions.mean_corruption_error?benchmark=imagenet-3dcc", CONVNETS, VITS
        ),
        BELOW,
    ),
    Claim(
        "clip-convnets-beat-vits-in-correspondence", "3d",
        "CLIP's ConvNets find more correspondences than its ViTs.",
        MeanDifference(PCK, CONVNETS, VITS), ABOVE,
    ),
)  # fmt: skip

LANGUAGE = (
    Claim(
        "llava-beats-its-encoder-on-hard-classes", "language",
        "LLaVA beats its own encoder on the classes hardest for it.",
        AgainstEncoder("hardest"), ABOVE,
    ),
    Claim(
        "llava-does-not-beat-its-encoder-on-easy-classes", "language",
        "LLaVA does not beat its own encoder on the classes easiest for it.",
        AgainstEncoder("easiest"), NO_GAIN,
    ),
)  # fmt: skip

#: All claims, each name once.
CLAIMS = (
    *FACTORS, *ROBUSTNESS, *SHAPE_BIAS, *OOD, *CALIBRATION, *PROMPTS, *RETRIEVAL, *THREE_D,
    *LANGUAGE,
)  # fmt: skip
