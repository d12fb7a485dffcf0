"""Paths, patterns, and files behind URLs, with fsspec's file system in memory."""

from __future__ import annotations

import subprocess
import sys

import fsspec
import pytest

from embedstore.datasets import access, remote
from embedstore.datasets.sources import open_source
from embedstore.errors import DatasetError, MissingExtraError, PictureError
from embedstore.testing.source_contract import TREE, SourceContract, pack_parquet, pack_tar


class RemoteContract(SourceContract):
    """Every kind in memory, below a bucket of the test's own."""

    @pytest.fixture(autouse=True)
    def empty(self):
        yield
        fsspec.filesystem("memory").store.clear()

    def put(self, folder):
        system = fsspec.filesystem("memory")
        system.put(f"{folder}/", "/bucket/", recursive=True)
        return "memory://bucket"


class TestRemoteFolder(RemoteContract):
    def pack(self, folder):
        system = fsspec.filesystem("memory")
        for path, data in TREE.items():
            system.pipe(f"/bucket/tree/{path}", data)
        return "folder:memory://bucket/tree"


class TestRemoteTar(RemoteContract):
    def pack(self, folder):
        pack_tar(folder / "a-0.tar", TREE)
        return f"webdataset:{self.put(folder)}/a-{{0..0}}.tar"


class TestRemoteParquet(RemoteContract):
    def pack(self, folder):
        pack_parquet(folder / "a.parquet", TREE)
        return f"parquet:{self.put(folder)}/*.parquet"


class TestRemoteManifest(RemoteContract):
    def pack(self, folder):
        TestRemoteFolder().pack(folder)
        rows = "".join(f"tree/{p},{p.split('/')[0]},{p[:-4]}\n" for p in TREE)
        fsspec.filesystem("memory").pipe("/bucket/a.csv", f"path,label,sample_id\n{rows}".encode())
        return "csv:memory://bucket/a.csv"


def test_a_remote_picture_is_one_range(tmp_path, monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe("/b/a.tar", pack_tar(tmp_path / "a.tar", TREE).read_bytes())
    source = open_source("webdataset:memory://b/*.tar")
    listing, ranges, real = source.listing(), [], type(system).cat_file

    def counted(self, path, start=None, end=None, **options):
        ranges.append((start, end))
        return real(self, path, start=start, end=end, **options)

    monkeypatch.setattr(type(system), "cat_file", counted)
    assert source.reader()(listing.paths[3]) == list(TREE.values())[3]
    ((start, end),) = ranges
    assert end - start == listing.n_bytes[3]


def test_what_a_pattern_matches_begins_as_it_does():
    system = fsspec.filesystem("memory")
    for name in ("/only/1.tar", "/only/2.tar", "/only/2.txt"):
        system.pipe(name, b"")
    for root in ("memory://only", "memory:///only"):
        found = access.expanded(f"{root}/*.tar")
        assert [access.relative(root, path) for path in found] == ["1.tar", "2.tar"]


def test_a_change_behind_a_url_is_seen():
    system = fsspec.filesystem("memory")
    system.pipe("/b/a.bin", b"one")
    before = remote.size_and_change("memory://b/a.bin")
    assert remote.size_and_change("memory://b/a.bin") == before
    system.pipe("/b/a.bin", b"two")
    assert remote.size_and_change("memory://b/a.bin") != before


def test_what_is_missing_remotely():
    with pytest.raises(DatasetError, match=r"1 of 1 shards .*missing, such as memory://b/none.tar"):
        open_source("webdataset:memory://b/none.tar").listing()
    with pytest.raises(DatasetError, match=r"cannot read memory://b/none.csv: No such file; check"):
        open_source("csv:memory://b/none.csv").listing()
    with pytest.raises(DatasetError, match="no pictures in memory://b/none"):
        open_source("folder:memory://b/none").listing()
    with pytest.raises(PictureError, match="read: No such file"):
        open_source("folder:memory://b").reader()("x.jpg")
    with pytest.raises(DatasetError, match=r"cannot read nothing://x/: .*check its beginning"):
        open_source("folder:nothing://x/").listing()


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"s3://x/a\.csv needs one more package: .*s3fs"):
        open_source("csv:s3://x/a.csv").listing()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'embedstore\[remote\]'"):
        open_source("csv:memory://x/a.csv").listing()


def test_local_sources_never_import_fsspec(tmp_path):
    path = pack_tar(tmp_path / "a.tar", TREE)
    code = (
        "import sys; from embedstore.datasets.sources import open_source as o;"
        f"s = o('webdataset:{path}'); s.reader()(s.listing().paths[0]);"
        "print({'fsspec', 'numba', 'torch', 'numcodecs'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("/d/a.tar", ["/d/a.tar"]),
        ("/d/a-{008..011}.tar", [f"/d/a-{i}.tar" for i in ("008", "009", "010", "011")]),
        ("/{x,y}/{0..1}", ["/x/0", "/x/1", "/y/0", "/y/1"]),
        ("s3://b/{2..1}x", []),
        ("/d/{}", ["/d/"]),
    ],
)
def test_braces(pattern, paths):
    assert access.expanded(pattern) == paths


def test_wildcards_and_the_folder_above(tmp_path):
    for name in ("b-1.tar", "a-1.tar", "a-2.tar"):
        (tmp_path / name).touch()
    assert access.expanded(f"{tmp_path}/a-*.tar") == [f"{tmp_path}/a-{i}.tar" for i in "12"]
    assert access.expanded(f"{tmp_path}/{{a,b}}-?.tar")[2] == f"{tmp_path}/b-1.tar"
    assert access.folder_of("/d/x-{0..1}/y*.tar") == "/d"
    assert access.folder_of("x.tar") == ""
    assert access.folder_of("/x.tar") == "/"
    assert access.joined("/", "x.tar") == "/x.tar"
    for root in ("", "/", "/d", "s3://b/c"):
        path = f"{root.rstrip('/')}/e/x" if root else "e/x"
        assert access.joined(root, access.relative(root, path)) == path


def test_a_file_in_anothers_place_is_read_anew(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"first")
    assert access.read_range(str(path), 1, 3) == b"irs"
    (tmp_path / "y").write_bytes(b"other")
    (tmp_path / "y").replace(path)
    assert access.read_range(str(path), 1, 99) == b"ther"


def test_a_name_with_brackets_is_a_name(tmp_path):
    path = pack_tar(tmp_path / "a[1]{x}.tar", {"c/1.jpg": b"x"})
    assert access.expanded(str(path)) == [str(path)]
    source = open_source(f"webdataset:{path}")
    assert source.reader()(source.listing().paths[0]) == b"x"


class OwnError(OSError):
    """As libraries raise them: made in another way than by number and reason."""

    def __init__(self, key):
        super().__init__()
        self.key = key


@pytest.mark.parametrize(
    "error", [RuntimeError("gone\nfor good"), ValueError("no JSON"), OwnError(1)]
)
def test_a_connection_that_breaks_off(tmp_path, monkeypatch, error):
    system = fsspec.filesystem("memory")
    system.pipe("/b/a.tar", pack_tar(tmp_path / "a.tar", TREE).read_bytes())
    system.pipe("/b/a.parquet", pack_parquet(tmp_path / "a.parquet", TREE).read_bytes())
    sources = [open_source(f"{kind}:memory://b/a.*{end}") for kind, end in KINDS]
    locators = [source.listing().paths[0] for source in sources]

    def broken(*_arguments, **_options):
        raise error

    monkeypatch.setattr(type(system.open("/b/a.tar")), "read", broken)
    monkeypatch.setattr(type(system), "cat_file", broken)
    for source, locator in zip(sources, locators, strict=True):
        with pytest.raises(PictureError, match=r"read: \S.*") as caught:
            source.reader()(locator)
        assert "\n" not in caught.value.reason
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    for source in sources:
        with pytest.raises(
            DatasetError, match="cannot read memory://b/a|memory://b/a.*cannot be read"
        ):
            source.listing()


KINDS = (("webdataset", "tar"), ("parquet", "parquet"))


def test_a_server_without_ranges_gives_no_wrong_picture(tmp_path, monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe("/b/a.tar", pack_tar(tmp_path / "a.tar", TREE).read_bytes())
    source = open_source("webdataset:memory://b/a.tar")
    locator, real = source.listing().paths[0], type(system).cat_file
    monkeypatch.setattr(type(system), "cat_file", lambda self, path, **_range: real(self, path))
    with pytest.raises(PictureError, match="read: asked for a part, the server sends more"):
        source.reader()(locator)


def test_rows_of_one_remote_parquet_take_no_request_each(tmp_path, monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe("/b/a.parquet", pack_parquet(tmp_path / "a.parquet", TREE).read_bytes())
    source = open_source("parquet:memory://b/a.parquet")
    paths, read = list(source.listing().paths), source.reader()
    read(paths[0])

    def refused(*_arguments, **_options):
        raise AssertionError("asked again")

    monkeypatch.setattr(type(system), "info", refused)
    assert [read(path) for path in paths] == list(TREE.values())
