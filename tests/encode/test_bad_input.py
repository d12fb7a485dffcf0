"""Bad input from end to end: a recorded failure, or one clear line."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedstore import Store
from embedstore.datasets.pictures import prepare
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import Report, encode
from embedstore.encode.progress import Progress
from embedstore.encode.request import Options, Request
from embedstore.errors import DatasetError, EmbedStoreError, ModelError, StoreError
from embedstore.kernels.normalise import normalise
from embedstore.store.records import write_record
from embedstore.store.repair import repair
from embedstore.store.verify import verify

SMALL = ("--batch-size", "2", "--block-rows", "4", "--workers", "1")


def run(
    store: Path, pictures: Path, spec: str = "python:toy_models:linear", *, data: str = "pets"
) -> tuple[Report, list[str]]:
    """Encode through the library; return its report, and what it said."""
    said: list[str] = []
    progress = Progress()
    progress.notice = said.append  # type: ignore[method-assign]
    request = Request(
        models=[("toy", spec)],
        data=[(data, open_source(f"folder:{pictures}"))],
        prompts=[],
        options=Options(batch_size=4, block_rows=12, workers=1),
    )
    return encode(Store.open(store, create=True), request, progress), said


def drawing(mode: str = "RGB", size: tuple[int, int] = (50, 40)) -> Image.Image:
    y, x = np.mgrid[: size[1], : size[0]]
    levels = np.stack([x * 4, y * 5, (x > y) * 180], axis=2)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert(mode)


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header promises 60,000 x 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    return saved(drawing(), "JPEG", exif=exif)


def animated(kind: str) -> bytes:
    frames = [drawing(), drawing().transpose(Image.Transpose.ROTATE_180)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


SIXTEEN_BIT = Image.fromarray((np.arange(2000, dtype=np.uint16) * 30).reshape(40, 50))
WHOLE = saved(drawing(), "JPEG", quality=95)

#: Each failure, its stage, and words of its reason.
BAD = {
    "bomb.png": (bomb(), "decode", "pixels exceed the limit of"),
    "empty.jpg": (b"", "read", "empty file"),
    "text.jpg": (b"once upon a time", "decode", "not a picture: starts b'once upo'"),
    "truncated.jpg": (WHOLE[: len(WHOLE) // 2], "decode", "truncated"),
    "truncated.png": (saved(drawing(), "PNG")[:200], "decode", "truncated"),
}
GOOD = {
    "animated.gif": animated("GIF"),
    "animated.webp": animated("WEBP"),
    "cmyk.jpg": saved(drawing("CMYK"), "JPEG"),
    "exif.jpg": rotated(),
    "grey.jpg": saved(drawing("L"), "JPEG"),
    "misnamed.jpg": saved(drawing(), "PNG"),
    "one-pixel.png": saved(drawing(size=(1, 1)), "PNG"),
    "palette.png": saved(drawing("P"), "PNG"),
    "plain.jpg": WHOLE,
    "rgba.png": saved(drawing("RGBA"), "PNG"),
    "sixteen-bit.png": saved(SIXTEEN_BIT, "PNG"),
}


@pytest.fixture
def odd(tmp_path) -> Path:
    """All of these in one class, and a link that leads nowhere."""
    folder = tmp_path / "odd" / "cat"
    folder.mkdir(parents=True)
    for name, data in GOOD.items():
        (folder / name).write_bytes(data)
    for name, (data, _, _) in BAD.items():
        (folder / name).write_bytes(data)
    (folder / "zz-gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    return folder.parent


def test_pictures_that_cannot_be_used_are_recorded_and_the_others_encoded(
    tmp_path, odd, environment
):
    import torch
    import toy_models

    report, _ = run(tmp_path / "store", odd)
    store, model = Store.open(tmp_path / "store"), toy_models.linear()
    paths = store.samples("pets")["path"].to_list()
    failures = {
        paths[r].removeprefix("cat/"): why for r, *why in store.failures("toy", "pets").rows()
    }
    assert set(failures) == {*BAD, "zz-gone.jpg"}
    assert report.n_failures == len(failures)
    for name, (_, stage, words) in BAD.items():
        assert failures[name][0] == stage, name
        assert words in failures[name][1], name
    assert failures["zz-gone.jpg"] == ["read", "No such file or directory"]

    stored = np.asarray(store.embeddings("toy", "pets"))
    outcomes = store.outcomes().collect()
    for row, path in enumerate(paths):
        data = GOOD.get(path.removeprefix("cat/"))
        assert (outcomes["prediction"][row] is None) == (data is None)
        if data is None:
            assert np.isnan(stored[row]).all()
            continue
        pixels = normalise(
            prepare(data, model.transform)[None], model.transform.mean, model.transform.std
        )
        expected, _ = model.embed_images(torch.from_numpy(pixels))
        np.testing.assert_allclose(
            stored[row], expected.detach().numpy()[0], atol=1e-3, err_msg=path
        )
    assert verify(store.files) == []


def test_pixels_are_those_of_the_fields_pipeline(odd):
    """First frame, alpha dropped, orientation not applied: as torchvision's ImageFolder would."""
    import toy_models

    for name, data in GOOD.items():
        if name == "sixteen-bit.png":
            continue  # Pillow would clip nearly all of it to white
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            size = picture.size
            plain = saved(picture.convert("RGB"), "PNG")
        assert size in ((50, 40), (1, 1)), name
        transform = toy_models.TRANSFORM
        np.testing.assert_array_equal(prepare(data, transform), prepare(plain, transform), name)


def test_a_folder_of_nothing_but_bad_pictures_is_encoded_as_failures(tmp_path, environment):
    folder = tmp_path / "bad" / "cat"
    folder.mkdir(parents=True)
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(b"no picture")
    report, _ = run(tmp_path / "store", folder.parent)
    assert report.n_failures == 3
    outcomes = Store.open(tmp_path / "store").outcomes().collect()
    assert outcomes["prediction"].null_count() == 3


def test_an_empty_folder_is_an_error(tmp_path, environment):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no pictures in .*empty: nothing there ends in"):
        run(tmp_path / "store", tmp_path / "empty")


def test_an_empty_class_is_noticed_and_counts_as_a_class(tmp_path, pictures, environment):
    folder = shutil.copytree(pictures, tmp_path / "pets")
    for picture in (folder / "dog").iterdir():
        picture.unlink()
    _, said = run(tmp_path / "store", folder)
    assert any(line.startswith("class 'dog' of") and "no pictures" in line for line in said)
    store = Store.open(tmp_path / "store")
    assert store.dataset("pets").class_ids == ("bird", "cat", "dog", "fish")
    assert sorted(set(store.samples("pets")["label"])) == [0, 1, 3]


def test_a_checkpoint_that_does_not_fit_is_one_line(tmp_path, pictures, environment):
    import torch

    torch.save({"conv_stem.weight": torch.zeros(3, 3)}, tmp_path / "odd.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    for name in ("odd.pth", "text.pth", "none.pth"):
        spec = f"timm:mobilenetv3_small_050?checkpoint={tmp_path / name}"
        with pytest.raises(ModelError) as caught:
            run(tmp_path / "store", pictures, spec)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert verify(Store.open(tmp_path / "store").files) == []


@pytest.fixture
def disk(tmp_path):
    """Mount a file system of so many KiB, where the machine lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a small file system here")

    mount.folder = folder  # type: ignore[attr-defined]
    yield mount
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def arguments(store: Path, pictures: Path) -> list[str]:
    words = ["encode", str(store), "--model", "toy=python:toy_models:linear"]
    return [*words, "--data", f"pets=folder:{pictures}", *SMALL]


@pytest.mark.parametrize("kib", [24, 64, 120])
def test_a_full_disk_is_one_line_and_the_run_goes_on_with_more_space(disk, pictures, command, kib):
    disk(f"size={kib}k")
    store = disk.folder / "store"
    process = command(*arguments(store, pictures))
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert printed == ""
    last = errors.splitlines()[-1]
    assert last.startswith(f"embedstore: no space left for the store {store}: free some and run")
    assert "Traceback" not in errors
    remount(disk.folder, "size=8m")
    problems = verify(Store.open(store, create=True).files)
    assert all(p.harmless for p in problems), problems
    repair(Store.open(store).files, problems)
    process = command(*arguments(store, pictures))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert verify(Store.open(store).files) == []
    assert Store.open(store).outcomes().collect().height == 46


def test_a_read_only_store_answers_but_is_not_written(disk, pictures, command):
    disk("size=8m")
    store = disk.folder / "store"
    _, errors = command(*arguments(store, pictures)).communicate(timeout=120)
    remount(disk.folder, "ro")
    for words in (
        ("info", store),
        ("verify", store),
        ("analyze", "accuracy", store),
        arguments(store, pictures),
    ):
        process = command(*words)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    more = [*arguments(store, pictures)[:-8], "--data", f"more=folder:{pictures / 'cat'}"]
    for words in (more, ["rm", store, "--model", "toy", "--yes"]):
        process = command(*words)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1
        last = errors.splitlines()[-1]
        assert last.startswith(
            f"embedstore: the store {store} cannot be written (Read-only file system)"
        )
        assert "Traceback" not in errors
    remount(disk.folder, "rw")
    assert verify(Store.open(store).files) == []


def test_a_store_of_a_newer_format_is_refused_and_left_alone(tmp_path, pictures, environment):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/embedstore.json").write_bytes(write_record({"format": 2}))
    with pytest.raises(StoreError, match=r"has format 2, newer than 1.*pip install --upgrade"):
        run(tmp_path / "store", pictures)
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["embedstore.json"]


@pytest.mark.parametrize(
    "lost",
    [
        "models/toy/model.json",
        "models/toy/heads",
        "models/toy/images",
        "models/toy/logits",
        "models/toy/outcomes",
        "datasets/pets",
        "runs",
    ],
)
def test_a_half_deleted_store_is_named_and_encoding_again_completes_it(
    tmp_path, pictures, environment, lost
):
    run(tmp_path / "store", pictures)
    before = Store.open(tmp_path / "store").outcomes().collect()
    path = tmp_path / "store" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if lost != "runs":  # a cache
        assert any(p.state == "missing" for p in verify(Store.open(tmp_path / "store").files))
    run(tmp_path / "store", pictures)
    store = Store.open(tmp_path / "store")
    assert store.outcomes().collect().equals(before)
    assert [p for p in verify(store.files) if not p.harmless] == []


def test_a_store_that_lost_its_record_is_not_written(tmp_path, pictures, environment):
    run(tmp_path / "store", pictures)
    (tmp_path / "store/embedstore.json").unlink()
    with pytest.raises(StoreError, match=r"embedstore.json is missing .* verify --repair"):
        run(tmp_path / "store", pictures)


def test_a_model_that_gives_nan_names_the_row_and_goes_on_once_it_is_mended(
    tmp_path, pictures, environment, monkeypatch
):
    import toy_models

    real = toy_models.Projection.forward
    seen: list[int] = []

    def worse(module, pixels):
        out = real(module, pixels)
        seen.append(len(pixels))
        if len(seen) == 6:  # one call at load, then the fifth batch of four
            out = out.clone()
            out[1, 3] = float("inf")
        return out

    monkeypatch.setattr(toy_models.Projection, "forward", worse)
    with pytest.raises(EmbedStoreError, match=r"gives NaN or infinity for row 17 \(cat/"):
        run(tmp_path / "store", pictures)
    store = Store.open(tmp_path / "store")
    assert verify(store.files) == []
    monkeypatch.setattr(toy_models.Projection, "forward", real)
    report, _ = run(tmp_path / "store", pictures)
    assert report.n_images == 46 - 12  # the first block was kept
    assert verify(store.files) == []
