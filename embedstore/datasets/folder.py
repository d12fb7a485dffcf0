"""Pictures in a folder: a folder a class, or flat without labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from embedstore.datasets.access import is_remote, local_path
from embedstore.datasets.classes import named_classes
from embedstore.datasets.endings import ENDINGS
from embedstore.datasets.readers import FolderReader, Reader, cannot_read
from embedstore.datasets.sources import Listing, Source, source_kind
from embedstore.errors import DatasetError
from embedstore.prompts import ClassList

#: A picture: its path's parts, bytes, time of change.
Found = tuple[tuple[str, ...], int, int]


@source_kind("folder")
class FolderSource(Source):
    """`folder:PATH` or `folder:URL`: a class's pictures below a folder of its name; or flat.

    Order is that of the relative paths, part by part. Class folders are classes in sorted order; if
    all are WordNet ids or all are ImageNet class names, they are known as those classes. Hidden
    files and folders are passed over, as are files without a picture's ending.
    """

    def __init__(self, location: str) -> None:
        self.root = local_path(location)
        self.spec = f"folder:{location}"

    def reader(self) -> Reader:
        """Return a reader of files below the folder."""
        return FolderReader(self.root)

    def listing(self) -> Listing:
        """List all pictures."""
        files, folders = self._files()
        if not files:
            raise DatasetError(
                f"no pictures in {self.root}: nothing there ends in {', '.join(sorted(ENDINGS))}"
            )
        top = [f for f in files if len(f[0]) == 1]
        notices: list[str] = []
        classes: ClassList | None = None
        if len(top) < len(files):
            if top:
                notices.append(
                    f"{len(top)} pictures beside the class folders of {self.root} belong to no "
                    f"class and are left out, such as {top[0][0][0]}"
                )
                files = [f for f in files if len(f[0]) > 1]
            empty = sorted(set(folders) - {f[0][0] for f in files})
            notices += [f"class {name!r} of {self.root} has no pictures" for name in empty]
            classes = named_classes(folders)
            index = {name: i for i, name in enumerate(folders)}
        paths = ["/".join(parts) for parts, _, _ in files]
        return Listing(
            sample_ids=sample_ids(paths),
            paths=paths,
            labels=[index[f[0][0]] if classes else None for f in files],
            n_bytes=[f[1] for f in files],
            changed=[f[2] for f in files],
            classes=classes,
            notices=notices,
        )

    def _files(self) -> tuple[list[Found], list[str]]:
        """Return what was found of every picture, in order, and the topmost folders, sorted."""
        try:
            if is_remote(self.root):
                files, folders = _below_url(self.root)
            else:
                files, folders = _below(Path(self.root))
        except OSError as error:
            raise cannot_read(error.filename or self.root, error) from error
        for parts, _, _ in files:
            path = "/".join(parts)
            if not path.isascii() and path != path.encode(errors="replace").decode():
                raise DatasetError(
                    f"the name of {path!r} in {self.root} is not UTF-8; rename that file or folder"
                )
        return sorted(files, key=lambda f: f[0]), sorted(folders)


def sample_ids(paths: list[str]) -> list[str]:
    """Relative paths without their endings; where two would be equal, both keep theirs."""
    stems = [_stem(path) for path in paths]
    counts = Counter(stems)
    counts.update(paths)  # a.jpg beside a.jpg.png: the stem of one is the whole of the other
    return [stem if counts[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]


def _stem(path: str) -> str:
    parsed = PurePosixPath(path)
    return str(parsed.with_suffix("")) if parsed.name else path


def _below(root: Path) -> tuple[list[Found], set[str]]:
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}; check the path after folder:")
    top = {e.name for e in os.scandir(root) if _is_folder(e) and not e.name.startswith(".")}
    return list(pictures_below(root)), top


def _below_url(url: str) -> tuple[list[Found], set[str]]:
    from embedstore.datasets import remote

    found = [(tuple(path.split("/")), *facts) for path, facts in remote.below(url)]
    seen = [f for f in found if not any(part.startswith(".") for part in f[0])]
    files = [f for f in seen if PurePosixPath(f[0][-1]).suffix.lower() in ENDINGS]
    return files, {parts[0] for parts, _, _ in seen if len(parts) > 1}


def pictures_below(
    folder: Path, parts: tuple[str, ...] = (), above: frozenset[str] = frozenset()
) -> Iterator[Found]:
    """Yield every picture below `folder`, hidden ones left out, their paths behind `parts`."""
    real = os.path.realpath(folder)
    if real in above:  # a link that leads back up would never end
        return
    for entry in list(os.scandir(folder)):  # read to its end, it is closed
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from pictures_below(Path(entry.path), (*parts, entry.name), above | {real})
        elif PurePosixPath(entry.name).suffix.lower() in ENDINGS:
            stat = _stat(entry)
            yield (*parts, entry.name), stat.st_size, stat.st_mtime_ns


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _stat(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError:  # a dangling link: listed, and recorded as a failure when it is read
        return entry.stat(follow_symlinks=False)
