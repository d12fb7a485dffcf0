"""`corrupt:KIND:SEVERITY:SOURCE`: what is listed, what tells it apart, and its failures."""

from __future__ import annotations

import os
import pickle
import signal
import sys

import numpy as np
import polars as pl
import pytest
from PIL import Image

from embedstore.datasets.corrupted import imagenet_c, reader
from embedstore.datasets.corrupted.corruption import Corruption
from embedstore.datasets.corrupted.kinds import corruptions
from embedstore.datasets.corrupted.source import CorruptSource, with_corruptions
from embedstore.datasets.pictures import decode
from embedstore.datasets.sources import describe, open_source
from embedstore.encode.pool import DecodePool
from embedstore.errors import DatasetError, EmbedStoreError, MissingExtraError, PictureError
from embedstore.transform import Transform

SAME = Transform(size=(224, 224), resize_to=(224, 224))


def locators(source):
    return list(source.locators(source.listing().samples()))


def fingerprint(source, name="d"):
    return describe(name, source, source.listing())[0].fingerprint


def test_the_listing_is_that_of_the_clean_pictures(manifest):
    clean = open_source(f"csv:{manifest}").listing()
    source = open_source(f"corrupt:contrast:2:csv:{manifest}")
    found = source.listing()
    for name in ("sample_ids", "paths", "labels", "n_bytes", "changed", "classes", "spaces"):
        assert getattr(found, name) == getattr(clean, name)
    assert clean.captions != found.captions == {}
    added = {"corruption": ["contrast"] * 3, "severity": [2] * 3}
    assert found.annotations.equals(clean.annotations.hstack(pl.DataFrame(added)))
    assert source.spec == f"corrupt:contrast:2:csv:{manifest}"


def test_a_folder_has_no_annotations_but_ours(manifest):
    found = open_source(f"corrupt:contrast:2:folder:{manifest.parent}").listing()
    assert found.annotations.columns == ["corruption", "severity"]
    assert found.annotations.height == len(found.paths) == 3  # and three maps, in their folder


@pytest.mark.parametrize("kind", ["gaussian_noise", "glass_blur", "fog_3d", "near_focus"])
def test_pixels_are_the_same_in_any_order_and_through_decoding_processes(manifest, kind):
    source = open_source(f"corrupt:{kind}:2:csv:{manifest}")
    read, places = source.reader(), locators(source)
    packed = pickle.dumps(read)
    assert len(packed) < 2000
    again = pickle.loads(packed)
    alone = [decode(read(place)) for place in places]
    np.testing.assert_array_equal([decode(again(p)) for p in places[::-1]], alone[::-1])
    assert all(a.shape == (224, 224, 3) for a in alone)
    with DecodePool(read, SAME, n_workers=2, n_slots=1, batch_rows=9) as pool:
        assert pool.submit(0, places * 3).result() == []
        np.testing.assert_array_equal(pool.pixels(0, 9), alone * 3)


def test_each_corruption_severity_and_version_is_another_data_set(manifest, monkeypatch):
    kinds = [f"{kind}:{s}" for kind in ("fog", "fog_3d", "near_focus") for s in (1, 2)]
    sources = [open_source(f"corrupt:{kind}:csv:{manifest}") for kind in kinds]
    found = [fingerprint(open_source(f"csv:{manifest}")), *map(fingerprint, sources)]
    assert len(set(found)) == len(found)
    assert fingerprint(sources[0], "another-name") == found[1]
    record, _ = describe("d", sources[0], sources[0].listing())
    assert describe("d", sources[0], sources[0].listing(), record) == (record, None)
    monkeypatch.setattr(reader, "VERSION", 2)
    later = open_source(sources[0].spec)
    now, samples = describe("d", later, later.listing(), record)
    assert samples is not None
    assert now.fingerprint != record.fingerprint


@pytest.mark.parametrize("kind", ["fog", "fog_3d"])
@pytest.mark.parametrize("what", ["b.png", "depth/b.png"])
def test_other_files_are_another_data_set_though_the_listing_was_known(manifest, kind, what):
    source = open_source(f"corrupt:{kind}:1:csv:{manifest}")
    record, before = describe("d", source, source.listing())
    file = manifest.parent / what
    stat = file.stat()
    Image.fromarray(np.full((120, 150), 2000, np.uint16)).save(file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    now, samples = describe("d", source, source.listing(), record)
    changed = kind == "fog_3d" or what == "b.png"
    assert (now.fingerprint != record.fingerprint) == changed
    if changed:
        assert (samples["digest"] != before["digest"]).to_list() == [False, True, False]


def test_digests_need_no_rendering(manifest, monkeypatch):
    monkeypatch.setattr(reader, "corrupted", None)  # it would be called
    source = open_source(f"corrupt:frost:1:csv:{manifest}")
    _, samples = describe("d", source, source.listing())
    assert samples["digest"].str.len_chars().to_list() == [32] * 3


def test_many_corruptions_share_one_listing(manifest, monkeypatch):
    clean, made = open_source(f"csv:{manifest}"), []
    listing = type(clean).listing
    monkeypatch.setattr(type(clean), "listing", lambda s: made.append(s) or listing(s))
    asked = [*corruptions("fog:all"), *corruptions("snow:3"), *corruptions("fog:2-3")]
    found = dict(with_corruptions("val", clean, asked))
    assert list(found) == ["val", *(f"val--fog--{s}" for s in range(1, 6)), "val--snow--3"]
    assert found["val"] is clean
    assert [found[name].listing().annotations["severity"][0] for name in list(found)[1:]] == [
        1, 2, 3, 4, 5, 3,
    ]  # fmt: skip
    assert len(made) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("corrupt:fog", "does not say what to corrupt; write corrupt:KIND:SEVERITY:SOURCE"),
        ("corrupt:fog:3:", "does not say what to corrupt"),
        ("corrupt:fog:3:/data", "data source '/data' names no kind"),
        ("corrupt:mist:3:folder:/d", "unknown corruption 'mist'; choose one of: .*zoom_blur"),
        ("corrupt:fog:6:folder:/d", "unknown severity of fog '6'; choose one of: 1, 2, 3, 4, 5"),
        ("corrupt:fog:1-2:folder:/d", "unknown severity of fog '1-2'"),
    ],
)
def test_specs_that_say_too_little_or_wrong(spec, message):
    with pytest.raises(EmbedStoreError, match=message):
        open_source(spec)


def test_corrupted_pictures_are_not_corrupted_again(manifest):
    source = open_source(f"corrupt:fog:3:corrupt:snow:2:csv:{manifest}")
    with pytest.raises(DatasetError, match="is described by .* already; corrupt clean pictures"):
        source.listing()


def test_a_missing_library_names_its_install_line(manifest, monkeypatch):
    def missing(module, extra):
        raise MissingExtraError(f"{module} of {extra}")

    monkeypatch.setattr(imagenet_c, "require", missing)
    with pytest.raises(MissingExtraError, match="imagecorruptions of corrupt"):
        open_source(f"corrupt:fog:3:csv:{manifest}")
    assert locators(open_source(f"corrupt:fog_3d:3:csv:{manifest}"))  # needs none


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            ("path",),
            "is rendered from depth, and .* is no manifest with a column 'depth'; .*csv:FILE",
        ),
        (("path", "metres"), "column 'depth' .* holds Float64, where fog_3d needs paths"),
    ],
)
def test_data_sets_without_depth(manifest, columns, message):
    table = pl.read_csv(manifest).with_columns(metres=pl.lit(2.5))
    table.select(columns).rename({"metres": "depth"}, strict=False).write_csv(manifest)
    with pytest.raises(DatasetError, match=message):
        open_source(f"corrupt:fog_3d:1:csv:{manifest}").listing()


def test_what_is_wrong_with_one_map_is_a_failure_of_its_picture(manifest):
    table = pl.read_csv(manifest)
    maps = pl.Series("depth", ["depth/a.png", None, "depth/none.png"])
    table.with_columns(maps).write_csv(manifest)
    source = open_source(f"corrupt:far_focus:2:csv:{manifest}")
    _, samples = describe("d", source, source.listing())
    assert [len(d) for d in samples["digest"]] == [32, 0, 0]
    read, places = source.reader(), locators(source)
    assert read(places[0])
    for place, reason in zip(
        places[1:],
        ["no depth map is named", "the depth map depth/none.png cannot be read: No such file"],
        strict=True,
    ):
        with pytest.raises(PictureError, match=f"^transform: {reason}"):
            read(place)
    (manifest.parent / "a.png").unlink()
    with pytest.raises(PictureError, match="^read: No such file"):
        read(places[0])


def test_a_reader_survives_ids_with_any_character(manifest):
    table = pl.read_csv(manifest).with_columns(sample_id=pl.Series(["a\0b", "ü/ 2", "c:3"]))
    table.write_ndjson(manifest.with_suffix(".jsonl"))
    source = CorruptSource(
        Corruption("shot_noise", 1), open_source(f"jsonl:{manifest.with_suffix('.jsonl')}")
    )
    found = [decode(source.reader()(place)) for place in locators(source)]
    assert len({f.tobytes() for f in found}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_while_a_thread_draws_does_not_wait_for_it(manifest):
    source = open_source(f"corrupt:gaussian_noise:1:csv:{manifest}")
    read, places = source.reader(), locators(source)
    expected = read(places[0])
    with imagenet_c._lock:  # as a thread of the parent would hold it
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            os._exit(0 if read(places[0]) == expected else 1)
        assert os.waitpid(child, 0)[1] == 0
