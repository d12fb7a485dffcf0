"""What the titles of published tables mean: data sets, columns and sizes in our words.

Sizes are those of the complete test sets. Tests check each against the figures themselves: a
proportion of n samples is a multiple of 1/n, as far as its decimals show.
"""

from __future__ import annotations

from typing import NamedTuple


class Title(NamedTuple):
    """A column of open_clip's table."""

    title: str
    dataset: str
    column: str
    n_samples: int | None  # null where the figure is no proportion of samples


class TimmFile(NamedTuple):
    """One of timm's tables, `results-STEM.csv`."""

    stem: str
    dataset: str
    space: str | None
    n_samples: int
    clean: str | None  # space in which its differences are from ImageNet on the same classes


_TOP1, _MEAN_CLASS, _WORST = "top1_accuracy", "mean_class_accuracy", "worst_group_accuracy"

#: open_clip's data sets, as DataComp's tasklist.yml defines their main metrics (Gadre et al., 2023,
#: arXiv 2304.14108). Averages, and recalls averaged over both directions, are left out. ImageNet-O
#: is the accuracy on its 200 classes, no detection. Worst groups are regions, or, at Dollar Street,
#: quarters of income.
OPEN_CLIP = (
    Title("ImageNet 1k", "imagenet-val", _TOP1, 50_000),
    Title("ImageNet v2", "imagenet-v2-matched-frequency", _TOP1, 10_000),
    Title("ImageNet-A", "imagenet-a", _TOP1, 7_500),
    Title("ImageNet-O", "imagenet-o", _TOP1, 2_000),
    Title("ImageNet-R", "imagenet-r", _TOP1, 30_000),
    Title("ImageNet Sketch", "imagenet-sketch", _TOP1, 50_889),
    Title("ObjectNet", "objectnet", _TOP1, 18_574),
    Title("CIFAR-10", "cifar-10", _TOP1, 10_000),
    Title("CIFAR-100", "cifar-100", _TOP1, 10_000),
    Title("CLEVR Counts", "clevr-counts", _TOP1, 15_000),
    Title("CLEVR Distance", "clevr-distance", _TOP1, 15_000),
    Title("Country211", "country211", _TOP1, 21_100),
    Title("Describable Textures", "describable-textures", _TOP1, 1_880),
    Title("EuroSAT", "eurosat", _TOP1, 5_400),
    Title("Food-101", "food-101", _TOP1, 25_250),
    Title("GTSRB", "gtsrb", _TOP1, 12_630),
    Title("KITTI Vehicle Distance", "kitti-vehicle-distance", _TOP1, 711),
    Title("MNIST", "mnist", _TOP1, 10_000),
    Title("Pascal VOC 2007", "pascal-voc-2007", _TOP1, 14_976),
    Title("PatchCamelyon", "patch-camelyon", _TOP1, 32_768),
    Title("Rendered SST2", "rendered-sst2", _TOP1, 1_821),
    Title("RESISC45", "resisc45", _TOP1, 6_300),
    Title("Stanford Cars", "stanford-cars", _TOP1, 8_041),
    Title("STL-10", "stl-10", _TOP1, 8_000),
    Title("SUN397", "sun397", _TOP1, 108_754),
    Title("SVHN", "svhn", _TOP1, 26_032),
    Title("Camelyon17", "camelyon17", _TOP1, 85_054),
    Title("Caltech-101", "caltech-101", _MEAN_CLASS, None),
    Title("FGVC Aircraft", "fgvc-aircraft", _MEAN_CLASS, None),
    Title("Oxford Flowers-102", "oxford-flowers-102", _MEAN_CLASS, None),
    Title("Oxford-IIIT Pet", "oxford-iiit-pet", _MEAN_CLASS, None),
    Title("iWildCam", "iwildcam", "macro_f1", None),
    Title("FMoW", "fmow", _WORST, None),
    Title("GeoDE", "geode", _WORST, None),
    Title("Dollar Street", "dollar-street", "worst_group_top5_accuracy", None),
    Title("WinoGAViL", "winogavil", "jaccard_score", None),  # of 10 to 12 candidates
)

#: timm's tables. ReaL counts the pictures that have a label there.
TIMM = (
    TimmFile("imagenet", "imagenet-val", None, 50_000, None),
    TimmFile("imagenet-real", "imagenet-val", "imagenet-real", 46_837, None),
    TimmFile("imagenetv2-matched-frequency", "imagenet-v2-matched-frequency", None, 10_000, None),
    TimmFile("imagenet-a", "imagenet-a", None, 7_500, "imagenet-a"),
    TimmFile("imagenet-r", "imagenet-r", None, 30_000, "imagenet-r"),
    TimmFile("sketch", "imagenet-sketch", None, 50_889, None),
)
#: Pictures of ImageNet's validation set in 200 classes.
N_CLEAN = 10_000

#: ImageNet-X's annotated validation pictures, prototypes left out, and how many a factor marks.
N_FACTORS = 46_110
FACTORS = {
    "top": {
        "pose": 15_064, "background": 14_751, "pattern": 5_972, "color": 6_150, "smaller": 1_450,
        "shape": 679, "partial_view": 638, "subcategory": 585, "texture": 282, "larger": 150,
        "darker": 122, "object_blocking": 78, "person_blocking": 60, "style": 43, "brighter": 44,
        "multiple_objects": 40,
    },
    "multi": {
        "pose": 39_974, "background": 35_537, "pattern": 15_478, "color": 13_034, "smaller": 2_873,
        "shape": 1_891, "partial_view": 1_500, "subcategory": 3_604, "texture": 879, "larger": 390,
        "darker": 512, "object_blocking": 217, "person_blocking": 105, "style": 586,
        "brighter": 94, "multiple_objects": 1_828,
    },
}  # fmt: skip

#: Queries of the retrieval test sets. How many captions of each COCO picture were asked with is
#: not stated (25,010 or 25,000 in all).
N_QUERIES = {
    ("flickr30k-karpathy", "text-to-image"): 5_000,
    ("flickr30k-karpathy", "image-to-text"): 1_000,
    ("coco-karpathy", "image-to-text"): 5_000,
}

#: RobustBench's pictures of each corruption and severity.
N_ROBUSTBENCH = 5_000
