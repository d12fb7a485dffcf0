"""What a model's name surely tells: its family, and, of a timm tag, what it was trained on.

It knows no library, and says nothing (null) where a name does not say.
"""

from __future__ import annotations

import re
from typing import Any

#: Family of the architectures whose names begin so; the longest beginning counts. Variants that
#: the field names after their parent (wide, dilated, squeeze-excite ResNets) bear its name.
FAMILIES = {
    "aimv2": "ViT", "beit": "BEiT", "beitv2": "BEiT", "caformer": "CAFormer", "cait": "CaiT",
    "coat": "CoaT", "coatnet": "CoAtNet", "convformer": "ConvFormer", "convit": "ConViT",
    "convmixer": "ConvMixer", "convnext": "ConvNeXt", "convnextv2": "ConvNeXt",
    "crossvit": "CrossViT", "darknet": "DarkNet", "davit": "DaViT", "deit": "ViT",
    "deit3": "ViT", "densenet": "DenseNet", "dla": "DLA", "dpn": "DPN",
    "eca_resnet": "RN", "ecaresnet": "RN", "edgenext": "EdgeNeXt",
    "efficientformer": "EfficientFormer", "efficientnet": "EfficientNet",
    "efficientnetv2": "EfficientNet", "efficientvit": "EfficientViT", "eva": "EVA",
    "eva02": "EVA", "fastvit": "FastViT", "flexivit": "ViT", "focalnet": "FocalNet",
    "gcvit": "GCViT", "ghostnet": "GhostNet", "ghostnetv": "GhostNet", "hgnet": "HGNet",
    "hgnetv": "HGNet", "hiera": "Hiera", "hrnet": "HRNet", "inception": "Inception",
    "inception_next": "InceptionNeXt", "levit": "LeViT", "mambaout": "MambaOut",
    "maxvit": "MaxViT", "mixer": "MLP-Mixer", "mixnet": "MixNet", "mobilenetv": "MobileNet",
    "mobilevit": "MobileViT", "mobilevitv": "MobileViT", "mvitv": "MViT", "naflexvit": "ViT",
    "nextvit": "NextViT", "nfnet": "NFNet", "pit": "PiT", "poolformer": "PoolFormer",
    "poolformerv": "PoolFormer", "pvt": "PVT", "regnetv": "RegNet", "regnetx": "RegNet",
    "regnety": "RegNet", "regnetz": "RegNet", "repvgg": "RepVGG", "repvit": "RepViT",
    "resmlp": "ResMLP", "resnest": "ResNeSt", "resnet": "RN", "resnetaa": "RN",
    "resnetblur": "RN", "resnetrs": "RN", "resnetv": "RN", "resnext": "ResNeXt",
    "rexnet": "ReXNet", "samvit": "ViT", "seresnet": "RN", "seresnext": "ResNeXt",
    "swin": "Swin", "swinv": "Swin", "tf_efficientnet": "EfficientNet",
    "tf_efficientnetv": "EfficientNet", "tf_mixnet": "MixNet", "tf_mobilenetv": "MobileNet",
    "tiny_vit": "TinyViT", "tresnet": "TResNet", "twins": "Twins", "vgg": "VGG", "vit": "ViT",
    "vitamin": "ViTamin", "volo": "VOLO", "wide_resnet": "RN", "xception": "Xception",
    "xcit": "XCiT",
}  # fmt: skip

#: Training distribution of a timm tag's word. ImageNet-21k and -22k are two names of one set.
DISTRIBUTIONS = {
    "in1k": "ImageNet-1k", "in12k": "ImageNet-12k", "in21k": "ImageNet-21k",
    "in22k": "ImageNet-21k", "openai": "WIT", "laion400m": "LAION-400M", "laion2b": "LAION-2B",
    "laiona": "LAION-Aesthetic", "datacomp1b": "DataComp", "datacompxl": "DataComp",
    "dfn2b": "DFN", "dfn5b": "DFN", "merged2b": "Merged-2B", "webli": "WebLI",
    "yfcc15m": "YFCC15M", "cc12m": "CC12M", "lvd142m": "LVD-142M", "lvd1689m": "LVD-1689M",
    "m30m": "Merged-30M", "m38m": "Merged-38M", "ig1b": "IG-1B", "yfcc100m": "YFCC100M",
}  # fmt: skip

#: Training images of ImageNet-1k (ILSVRC 2012).
IMAGENET_1K = 1_281_167

#: Names whose tags leave out a data set, such as the one behind `in22k` in BEiT-3's.
_SILENT = re.compile(r"beit3|ssld|swag|seer|jft")
_TUNED = re.compile(r"(?P<first>.+)_ft_(?P<last>in1k|in12k|in22k|in12k_in1k|in22k_in1k)")


def architecture_of(name: str) -> str | None:
    """Return the architecture family of a timm name, or null."""
    matches = [start for start in FAMILIES if re.match(rf"{start}(?![a-z])", name)]
    return FAMILIES[max(matches, key=len)] if matches else None


def training_of(name: str) -> dict[str, Any]:
    """Return what a timm tag (after the dot) tells of training data and fine-tuning.

    ``laion2b_ft_in12k_in1k`` was trained on LAION-2B, then fine-tuned twice. A tag of several
    data sets in another form tells nothing.
    """
    if _SILENT.search(name):
        return {}
    tag = re.sub(r"_\d{3}$", "", name.partition(".")[2])  # the resolution of fine-tuning
    tuned = _TUNED.fullmatch(tag)
    words = (tuned["first"] if tuned else tag).split("_")
    named = {DISTRIBUTIONS[word] for word in words if word in DISTRIBUTIONS}
    if len(named) != 1:
        return {}
    distribution = named.pop()
    tuning = tuned["last"].replace("22k", "21k").replace("_", "+") if tuned else "none"
    return {
        "training_distribution": distribution,
        "training_samples": IMAGENET_1K if distribution == "ImageNet-1k" else None,
        "fine_tuning": tuning,
    }
