"""What every source must do: subclass :class:`SourceContract` beside a source's tests.

A subclass says in `pack` how the tree becomes its kind of source.
"""

from __future__ import annotations

import io
import json
import multiprocessing as mp
import os
import pickle
import tarfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from embedstore.datasets.readers import Reader
from embedstore.datasets.sources import Listing, Source, describe, open_source
from embedstore.errors import PictureError

#: Relative path -> picture, a folder a class, in the order that every source must find; `a b` sorts
#: behind `a`, though a space sorts before a slash.
PATHS = ("a/z.x.png", "a b/1.png", "bird/10.png", "bird/2.png", "ü/in/é.png", "ü/with 'quotes'.png")
CLASSES = ("a", "a b", "bird", "ü")


def _picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 5 + seed, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


TREE: Mapping[str, bytes] = {path: _picture(seed) for seed, path in enumerate(PATHS)}


def write_tree(folder: Path, tree: Mapping[str, bytes] = TREE) -> Path:
    """Write files below a folder."""
    for path, data in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def pack_tar(target: Path, files: Mapping[str, bytes], layout: int = tarfile.PAX_FORMAT) -> Path:
    """Write the files as members of a tar, in their order."""
    with tarfile.open(target, "w", format=layout) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target


def pack_parquet(
    target: Path, files: Mapping[str, bytes], names: Sequence[str] = (), **options: Any
) -> Path:
    """Write the files as Hugging Face does: a struct, and labels that its metadata names."""
    names = names or sorted({path.split("/")[0] for path in files})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    frame = pl.DataFrame(
        {
            "image": [{"bytes": data, "path": path} for path, data in files.items()],
            "label": [names.index(path.split("/")[0]) for path in files],
        }
    )
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    frame.write_parquet(target, metadata=metadata, **options)
    return target


class SourceContract:
    """Tests of one kind of source over `TREE`."""

    def pack(self, folder: Path) -> str:
        """Write `TREE` below an empty folder; return the SPEC that reads it."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep indexes of this test apart."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        """Return the source under test."""
        folder = tmp_path / "packed"
        folder.mkdir()
        return open_source(self.pack(folder))

    @pytest.fixture
    def listing(self, source: Source) -> Listing:
        """Return what it holds."""
        return source.listing()

    def test_ids_are_unique_paths_in_order(self, listing: Listing) -> None:
        """Order is that of the paths, part by part; ids are paths without endings."""
        assert list(listing.sample_ids) == [path.removesuffix(".png") for path in PATHS]
        assert len(set(listing.paths)) == len(listing.paths) == len(PATHS)

    def test_labels_count_the_classes(self, listing: Listing) -> None:
        """Labels point into the classes, which are in their order."""
        assert listing.classes is not None
        assert listing.classes.ids == CLASSES
        assert [CLASSES[i or 0] for i in listing.labels] == [p.split("/")[0] for p in PATHS]

    def test_sizes_are_right(self, listing: Listing) -> None:
        """Sizes are those of the pictures."""
        assert list(listing.n_bytes) == [len(data) for data in TREE.values()]
        assert len(listing.changed) == len(PATHS)

    def test_listing_twice_is_equal(self, source: Source, listing: Listing) -> None:
        """A second listing, from a cached index or not, is the first."""
        for field in ("sample_ids", "paths", "labels", "n_bytes", "changed", "classes", "notices"):
            first, again = (
                getattr(listing, field),
                getattr(open_source(source.spec).listing(), field),
            )
            assert again == first

    def test_columns_behave_as_lists(self, listing: Listing) -> None:
        """Items and slices of a column are those of the list of all its values."""
        for column in (listing.sample_ids, listing.paths, listing.labels, listing.n_bytes):
            values = list(column)
            assert [column[i] for i in range(-2, 3)] == [values[i] for i in range(-2, 3)]
            assert list(column[1:4]) == values[1:4]
            with pytest.raises(IndexError):
                column[len(values)]

    def test_random_access_gives_the_bytes(self, source: Source, listing: Listing) -> None:
        """Each locator gives its picture, in any order, again and again."""
        read, pictures = source.reader(), list(TREE.values())
        for row in (5, 0, 3, 3, 1, 4, 2, 0):
            assert read(listing.paths[row]) == pictures[row]

    def test_reader_is_small_and_pickled(self, source: Source, listing: Listing) -> None:
        """A pickled reader reads the same, though the first one has files open."""
        read = source.reader()
        read(listing.paths[0])
        packed = pickle.dumps(read)
        assert len(packed) < 2000
        again: Reader = pickle.loads(packed)  # noqa: S301  made a line above
        assert [again(path) for path in listing.paths] == list(TREE.values())

    def test_reader_in_threads(self, source: Source, listing: Listing) -> None:
        """Threads that read at once get what is theirs."""
        read, rows = source.reader(), [i % len(PATHS) for i in range(300)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(read, [listing.paths[i] for i in rows]))
        assert found == [TREE[PATHS[i]] for i in rows]

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_reader_survives_a_fork(self, source: Source, listing: Listing) -> None:
        """A forked process reads, after this one has read and used Polars' threads."""
        read = source.reader()
        read(listing.paths[0])
        context = mp.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=_read_all, args=(read, list(listing.paths), queue.put))
        child.start()
        child.join(30)
        alive = child.is_alive()
        child.kill()
        assert not alive
        assert queue.get() == list(TREE.values())

    def test_what_cannot_be_read_is_a_picture_error(self, source: Source, listing: Listing) -> None:
        """A picture whose container is gone is a failure of stage `read`, in one line."""
        read = source.reader()
        with pytest.raises(PictureError) as caught:
            read("gone-" + listing.paths[0])
        assert caught.value.stage == "read"
        assert "\n" not in caught.value.reason

    def test_fingerprint_is_that_of_the_folder(
        self, source: Source, listing: Listing, tmp_path: Path
    ) -> None:
        """The same tree as a folder is the same data set."""
        folder = open_source(f"folder:{write_tree(tmp_path / 'tree')}")
        record, samples = describe("d", source, listing)
        expected, _ = describe("d", folder, folder.listing())
        assert isinstance(samples, pl.DataFrame)
        assert record.fingerprint == expected.fingerprint
        assert record.class_names == expected.class_names


def _read_all(read: Reader, paths: list[str], put: Callable[[list[bytes]], None]) -> None:
    put([read(path) for path in paths])


__all__ = [
    "CLASSES", "PATHS", "TREE", "SourceContract", "pack_parquet", "pack_tar", "write_tree",
]  # fmt: skip
