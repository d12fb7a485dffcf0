"""Pictures of which pairs are compared: NAVI, ScanNet's 1,500 pairs, SPair-71k.

Lists pictures and what describes each; it knows no pairs.

Dimensions: N pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from embedstore.datasets.presets.catalog import Preset
from embedstore.datasets.presets.class_folders import labelled_folders
from embedstore.datasets.presets.found import (
    Found,
    Picture,
    layout,
    pictures_below,
    pictures_folder,
    subfolders,
)
from embedstore.datasets.presets.text_files import json_of


@layout("navi")
def navi(preset: Preset, location: Path, _options: Mapping[str, str]) -> Found:
    """Read OBJECT/SCENE/images; a scene's annotations.json gives split, camera and occlusion."""
    root = pictures_folder(preset, location)
    scenes = [
        (thing, scene)
        for thing in subfolders(root)
        for scene in subfolders(root / thing)
        if scene == "wild_set" or scene.startswith(("multiview", "video"))
    ]
    found = Found(root, [])
    rows: list[dict[str, object]] = []
    for thing, scene in scenes:
        place = f"{thing}/{scene}"
        missing = [n for n in ("annotations.json", "images") if not (root / place / n).exists()]
        found.missing += [f"{place}/{name}" for name in missing]
        if missing:
            continue
        pictures = pictures_below(root, f"{place}/images")
        said = {str(a.get("filename")): a for a in json_of(root / place / "annotations.json")}
        found.pictures += pictures
        rows += [_described(thing, scene, said.get(p.name, {})) for p in pictures]
        there = {p.name for p in pictures}
        found.missing += [f"{place}/images/{name}" for name in said if name not in there]
    found.annotations |= {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
    return found


def _described(thing: str, scene: str, said: Mapping[str, object]) -> dict[str, object]:
    camera = said.get("camera")
    model = camera.get("camera_model") if isinstance(camera, dict) else None
    return {
        "object": thing,
        "scene": scene,
        "split": said.get("split"),
        "occluded": said.get("occluded"),
        "camera_model": model,
    }


@layout("scannet-pairs")
def scannet_pairs(preset: Preset, location: Path, _options: Mapping[str, str]) -> Found:
    """Read SCENE/color; each frame has a depth map and a pose beside it."""
    root = pictures_folder(preset, location)
    found = Found(root, [])
    found.missing = [n for n in ("test.npz", "intrinsics.npz") if not (root / n).is_file()]
    for scene in (name for name in subfolders(root) if name.startswith("scene")):
        if (root / scene / "color").is_dir():
            found.pictures += sorted(pictures_below(root, f"{scene}/color"), key=_frame)
        else:
            found.missing.append(f"{scene}/color")
    for picture in found.pictures:
        scene = picture.path.partition("/")[0]
        beside = (f"{scene}/depth/{picture.stem}.png", f"{scene}/pose/{picture.stem}.txt")
        found.missing += [path for path in beside if not (root / path).is_file()]
    found.annotations["scene"] = [p.path.partition("/")[0] for p in found.pictures]
    found.annotations["frame"] = [_frame(p) for p in found.pictures]
    return found


def _frame(picture: Picture) -> int:
    return int(picture.stem) if picture.stem.isdigit() else -1


@layout("spair-71k")
def spair(preset: Preset, location: Path, _options: Mapping[str, str]) -> Found:
    """Read JPEGImages/CLASS; ImageAnnotation gives each picture's box, in pixels."""
    root = pictures_folder(preset, location)
    found = labelled_folders(preset, root)
    beside = root.parent
    boxes = []
    for picture in found.pictures:
        path = f"ImageAnnotation/{picture.path.rpartition('.')[0]}.json"
        if (beside / path).is_file():
            boxes.append(json_of(beside / path).get("bndbox"))
        else:
            found.missing.append(path)
            boxes.append(None)
    found.annotations["box"] = pl.Series(boxes, dtype=pl.List(pl.Int32))
    folders = [f"PairAnnotation/{s}" for s in ("trn", "val", "test")] + ["Layout/large"]
    found.missing += [folder for folder in folders if not (beside / folder).is_dir()]
    return found
