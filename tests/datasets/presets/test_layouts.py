"""Each preset on a miniature copy, laid out as its documentation says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from embedstore.datasets.pictures import decode
from embedstore.datasets.presets.catalog import presets
from embedstore.datasets.presets.source import PresetSource
from embedstore.datasets.sources import describe, open_source
from embedstore.errors import DatasetError
from embedstore.prompts import imagenet


@dataclass(frozen=True)
class Case:
    """A copy, and what must be read from it."""

    preset: str
    pictures: tuple[str, ...]  # as they lie, in any order
    paths: tuple[str, ...]  # as they are listed
    class_ids: tuple[str | None, ...]
    n_classes: int | None = None
    annotations: dict[str, list[object]] = field(default_factory=dict)
    spaces: tuple[str, ...] = ()
    options: str = ""
    name: str = ""


def folders(preset, n_classes, inside="", ending="JPEG", wnids=("n01440764", "n15075141"), **more):
    paths = tuple(f"{wnid}/{i}.{ending}" for i, wnid in enumerate(wnids))
    laid = tuple(f"{inside}{path}" for path in reversed(paths))
    return Case(preset, laid, paths, wnids, n_classes, **more)


V2 = ("0/b.jpeg", "2/a.jpeg", "10/c.jpeg")  # as numbers, not as texts
V2_IDS = ("n01440764", "n01484850", "n01530575")
CASES = [
    folders("imagenet-a", 200, "imagenet-a/", "jpg", ("n01498041", "n12267677")),
    folders("imagenet-r", 200, "", "jpg", ("n01443537", "n12267677")),
    folders("imagenet-sketch", 1000, "sketch/"),
    folders("stylized-imagenet", 1000, "val/", "png"),
    *(
        Case(f"imagenet-v2-{name}", tuple(f"{inside}/{p}" for p in V2), V2, V2_IDS, 1000)
        for name, inside in (
            ("matched-frequency", "imagenetv2-matched-frequency-format-val"),
            ("threshold-0.7", "imagenetv2-threshold0.7-format-val"),
            ("top-images", "imagenetv2-top-images-format-val"),
        )
    ),
    Case(
        "objectnet",
        tuple(f"objectnet-1.0/images/{p}" for p in ("wok/2.png", "t-shirt/1.png", "whisk/3.png")),
        ("t-shirt/1.png", "wok/2.png"),
        ("t-shirt", "wok"),
        113,
        spaces=("objectnet",),
    ),
    Case(
        "cue-conflict",
        tuple(
            f"style-transfer-preprocessed-512/{p}"
            for p in ("bear/bear10-truck3.png", "airplane/airplane1-airplane2.png")
        ),
        ("airplane/airplane1-airplane2.png", "bear/bear10-truck3.png"),
        ("airplane", "bear"),
        16,
        {"shape": ["airplane", "bear"], "texture": ["airplane", "truck"]},
        ("cue-conflict",),
    ),
    Case(
        "imagenet-d",
        tuple(f"ImageNet-D/{p}" for p in ("texture/wok/1.png", "background/mug/2.png")),
        ("background/mug/2.png", "texture/wok/1.png"),
        ("mug", "wok"),
        113,
        {"group": ["background", "texture"]},
        ("imagenet-d",),
    ),
    folders(
        "imagenet-c",
        1000,
        "fog/3/",
        annotations={"corruption": ["fog"] * 2, "severity": [3] * 2},
        options="&corruption=fog&severity=3",
        name="archives unpacked side by side",
    ),
    folders(
        "imagenet-c",
        1000,
        "weather/fog/3/",
        annotations={"corruption": ["fog"] * 2, "severity": [3] * 2},
        options="&corruption=fog&severity=3",
        name="in folders of their kinds",
    ),
    folders(
        "imagenet-3dcc",
        1000,
        "h265_crf/5/",
        annotations={"corruption": ["h265_crf"] * 2, "severity": [5] * 2},
        options="&corruption=h265_crf&severity=5",
    ),
    *(
        Case(
            preset,
            tuple(f"{inside}/{p}" for p in ("b/2.jpg", "a/1.jpg")),
            ("a/1.jpg", "b/2.jpg"),
            (None, None),
            annotations={"folder": ["a", "b"]},
        )
        for preset, inside in (
            ("imagenet-o", "imagenet-o"),
            ("textures", "dtd/images"),
            ("ninco", "NINCO/NINCO_OOD_classes"),
            ("ssb-hard", "ssb_hard"),
        )
    ),
    *(
        Case(preset, (f"{inside}/2.jpg", f"{inside}/1.jpg"), ("1.jpg", "2.jpg"), (None, None))
        for preset, inside in (
            ("inaturalist", "iNaturalist/images"),
            ("sun", "SUN/images"),
            ("places", "Places/images"),
            ("openimage-o", "openimage_o/images"),
        )
    ),
]
IDS = [f"{case.preset}{' ' if case.name else ''}{case.name}" for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_lies_there_is_read(copy, case):
    root = copy(*case.pictures)
    source = PresetSource(case.preset, f"{root}?partial=1{case.options}")
    found = source.listing()
    assert tuple(found.paths) == case.paths
    assert tuple(found.sample_ids) == tuple(p.rpartition(".")[0] for p in case.paths)
    ids = [None if i is None else found.classes.ids[i] for i in found.labels]
    assert tuple(ids) == case.class_ids
    assert case.n_classes == (found.classes and len(found.classes.ids))
    columns = {} if found.annotations is None else found.annotations.to_dict(as_series=False)
    assert columns == case.annotations
    assert tuple(found.spaces) == case.spaces
    decoded = [decode(source.reader()(path)) for path in found.paths]
    border = 4 if case.preset == "objectnet" else 0
    assert all(picture.shape == (6 - border, 8 - border, 3) for picture in decoded)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_incomplete_copy_says_what_is_there_and_what_is_expected(copy, case):
    root = copy(*case.pictures)
    location = f"{root}?{case.options.removeprefix('&')}" if case.options else str(root)
    rows = presets()[case.preset].rows
    counted = f"{len(case.paths)} of {rows:,} pictures found"
    with pytest.raises(DatasetError, match=f"{counted}.*complete it .*or take it as it is with"):
        PresetSource(case.preset, location).listing()
    (notice,) = PresetSource(case.preset, f"{root}?partial=1{case.options}").listing().notices[-1:]
    assert counted in notice


def test_missing_class_folders_are_named(copy):
    root = copy("n01498041/1.jpg", "n01534433/1.jpg")
    with pytest.raises(
        DatasetError, match="missing n01531178, n01558993, n01580077 and 195 more; complete it"
    ):
        PresetSource("imagenet-a", str(root)).listing()


def test_missing_groups_are_named(copy):
    root = copy("background/wok/1.png")
    with pytest.raises(DatasetError, match="missing material, texture, alarm_clock and 111 more"):
        PresetSource("imagenet-d", str(root)).listing()


def test_a_corruption_that_is_not_there(copy):
    root = copy("fog/3/n01440764/1.JPEG")
    with pytest.raises(DatasetError, match=r"lacks snow/3; get .*\?corruption=KIND"):
        PresetSource("imagenet-c", f"{root}?corruption=snow&severity=3").listing()


def test_other_folders_of_objectnet_are_left_out_with_a_notice(copy):
    root = copy("images/wok/1.png", "images/whisk/1.png", "images/rock/1.png")
    notice = PresetSource("objectnet", f"{root}?partial=1").listing().notices[0]
    assert notice.startswith("2 folders of ")
    assert notice.endswith("are no classes of objectnet and are left out, such as rock")


@pytest.mark.parametrize("name", ["bear/bear1.png", "bear/truck1-bear2.png"])
def test_a_cue_conflict_picture_of_another_name_is_refused(copy, name):
    with pytest.raises(DatasetError, match=f"{name} in .* is not named SHAPEn-TEXTUREm"):
        PresetSource("cue-conflict", f"{copy(name)}?partial=1").listing()


def test_a_complete_copy_raises_nothing(copy):
    shapes = (
        "airplane bear bicycle bird boat bottle car cat chair clock dog elephant keyboard knife"
    )
    shapes = [*shapes.split(), "oven", "truck"]
    root = copy(*(f"{s}/{s}{n}-{t}{n}.png" for s in shapes for t in shapes for n in range(1, 6)))
    found = PresetSource("cue-conflict", str(root)).listing()
    assert len(found.paths) == 1280
    assert found.notices == []
    same = found.annotations.filter(shape=found.annotations["texture"])
    assert same.height == 80
    (root / "oven" / "oven3-dog3.png").unlink()
    with pytest.raises(DatasetError, match="1,279 of 1,280 pictures found; complete it"):
        PresetSource("cue-conflict", str(root)).listing()


def test_an_image_list_picks_and_counts(copy, write):
    root = copy(*(f"openimage_o/images/{i}.jpg" for i in "abc"))
    chosen = write("test.txt", "openimage_o/images/c.jpg -1\nopenimage_o/images/a.jpg -1\n")
    found = PresetSource("openimage-o", f"{root}?list={chosen}").listing()
    assert (found.paths, found.labels) == (["a.jpg", "c.jpg"], [None, None])
    chosen = write("test.txt", "openimage_o/images/c.jpg -1\nopenimage_o/images/x.jpg -1\n")
    with pytest.raises(DatasetError, match=r"1 of 2 .* missing openimage_o/images/x\.jpg"):
        PresetSource("openimage-o", f"{root}?list={chosen}").listing()


def test_a_preset_is_a_kind_of_source_and_its_labels_reach_the_record(copy):
    root = copy("n12267677/1.jpg", "n01498041/1.jpg")
    source = open_source(f"imagenet-a:{root}?partial=1")
    record, samples = describe("a", source, source.listing())
    assert record.class_list == "imagenet"
    assert len(record.class_ids) == 200
    assert set(record.class_ids) < set(imagenet().ids)
    assert samples["label"].to_list() == [0, 199]
    assert "" not in samples["digest"].to_list()


KARPATHY = {
    "coco-karpathy": ("dataset_coco.json", "val2014", "COCO_val2014_000000000042.jpg"),
    "flickr30k-karpathy": ("dataset_flickr30k.json", "flickr30k-images", "1007129816.jpg"),
}


def karpathy_json(preset, n_captions=5):
    _, folder, name = KARPATHY[preset]
    filepath = {"filepath": folder} if preset.startswith("coco") else {}
    sentences = [{"raw": f" Caption {i}.", "tokens": []} for i in range(n_captions)]
    images = [
        {**filepath, "filename": f"{split}{name}", "split": split, "sentences": sentences}
        for split in ("test", "val", "train", "restval")
    ]
    return json.dumps({"dataset": preset, "images": images})


@pytest.mark.parametrize("preset", KARPATHY)
def test_captions_and_splits(copy, write, preset):
    file, folder, name = KARPATHY[preset]
    root = copy(*(f"{folder}/{split}{name}" for split in ("test", "val", "train", "restval")))
    write(file, karpathy_json(preset, 6))
    found = PresetSource(preset, f"{root}?partial=1").listing()
    assert found.paths == [f"{folder}/test{name}"]
    assert found.captions == {"captions": [[f"Caption {i}." for i in range(5)]]}
    assert found.notices[0] == "1 pictures have more than 5 captions; the first count"
    assert (found.labels, found.classes) == ([None], None)
    both = PresetSource(preset, f"{root}?split=train+restval").listing()
    assert both.paths == [f"{folder}/train{name}", f"{folder}/restval{name}"]
    assert len(PresetSource(preset, f"{root}?split=train").listing().paths) == 1
    with pytest.raises(DatasetError, match="no split 'x'; choose one of: restval, test, train"):
        PresetSource(preset, f"{root}?split=x").listing()
    with pytest.raises(DatasetError, match=f"1 of {presets()[preset].rows:,} pictures"):
        PresetSource(preset, str(root)).listing()


@pytest.mark.parametrize("preset", KARPATHY)
def test_missing_pictures_and_splits_are_named(copy, write, preset):
    file, folder, name = KARPATHY[preset]
    root = copy(f"{folder}/other.jpg")
    with pytest.raises(DatasetError, match=f"lacks {file}, which holds splits and captions"):
        PresetSource(preset, str(root)).listing()
    write(file, karpathy_json(preset))
    with pytest.raises(DatasetError, match=f"0 of .* missing {folder}/test{name}; see: "):
        PresetSource(preset, f"{root}?partial=1").listing()
    write(file, '{"images": [{"filename": "a.jpg"}]}')
    with pytest.raises(DatasetError, match='does not hold "images", each with filename, split'):
        PresetSource(preset, str(root)).listing()
    write(file, karpathy_json(preset).replace(f"test{name}", "../../secret.jpg"))
    with pytest.raises(DatasetError, match="leads out of"):
        PresetSource(preset, str(root)).listing()


def navi_annotations(*names):
    camera = {"camera_model": "pixel_5", "focal_length": 3024.0}
    return json.dumps(
        [{"filename": n, "split": "val", "occluded": False, "camera": camera} for n in names]
    )


def test_navi(copy, write):
    scene = "3d_dollhouse_sink/wild_set"
    root = copy(
        f"navi_v1.5/{scene}/images/000.jpg",
        f"navi_v1.5/{scene}/masks/000.png",
        "navi_v1.5/bottle/multiview-00-pixel_5/images/001.jpg",
    )
    write(f"navi_v1.5/{scene}/annotations.json", navi_annotations("000.jpg"))
    with pytest.raises(DatasetError, match="missing bottle/multiview-00-pixel_5/annotations.json"):
        PresetSource("navi", str(root)).listing()
    write("navi_v1.5/bottle/multiview-00-pixel_5/annotations.json", navi_annotations("001.jpg"))
    found = PresetSource("navi", str(root)).listing()
    assert found.paths == [f"{scene}/images/000.jpg", "bottle/multiview-00-pixel_5/images/001.jpg"]
    assert found.annotations.to_dict(as_series=False) == {
        "object": ["3d_dollhouse_sink", "bottle"],
        "scene": ["wild_set", "multiview-00-pixel_5"],
        "split": ["val", "val"],
        "occluded": [False, False],
        "camera_model": ["pixel_5", "pixel_5"],
    }
    write(f"navi_v1.5/{scene}/annotations.json", navi_annotations("000.jpg", "007.jpg"))
    with pytest.raises(DatasetError, match=f"missing {scene}/images/007.jpg"):
        PresetSource("navi", str(root)).listing()


def test_scannet_pairs(copy, write):
    scene = "scannet_test_1500/scene0707_00"
    root = copy(*(f"{scene}/{place}" for place in ("color/15.jpg", "color/9.jpg", "depth/9.png")))
    for name in (f"{scene}/pose/9.txt", f"{scene}/pose/15.txt", "scannet_test_1500/test.npz"):
        write(name, "")
    with pytest.raises(
        DatasetError, match=r"missing intrinsics\.npz, scene0707_00/depth/15\.png; complete"
    ):
        PresetSource("scannet-pairs", str(root)).listing()
    copy(f"{scene}/depth/15.png")
    write("scannet_test_1500/intrinsics.npz", "")
    found = PresetSource("scannet-pairs", str(root)).listing()
    assert found.paths == ["scene0707_00/color/9.jpg", "scene0707_00/color/15.jpg"]
    assert found.annotations["frame"].to_list() == [9, 15]


def test_spair_71k(copy, write):
    root = copy("SPair-71k/JPEGImages/tvmonitor/b.jpg", "SPair-71k/JPEGImages/aeroplane/a.jpg")
    write("SPair-71k/ImageAnnotation/aeroplane/a.json", '{"bndbox": [1, 2, 30, 40]}')
    with pytest.raises(
        DatasetError, match="2 of 1,800 pictures found, missing bicycle, bird, boat"
    ):
        PresetSource("spair-71k", str(root)).listing()
    found = PresetSource("spair-71k", f"{root}?partial=1").listing()
    assert found.paths == ["aeroplane/a.jpg", "tvmonitor/b.jpg"]
    assert (found.labels, found.classes.names[17]) == ([0, 17], "tv monitor")
    assert found.annotations["box"].to_list() == [[1, 2, 30, 40], None]


def test_every_preset_has_a_miniature():
    tested = {case.preset for case in CASES} | set(KARPATHY)
    tested |= {"imagenet-val", "navi", "scannet-pairs", "spair-71k"}
    assert tested == set(presets())
