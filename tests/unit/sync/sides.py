"""Two kinds of sides of a sync, in memory, and an executor of plans that can be cut off anywhere."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from sync.plan import Action, Known, Stage, Verb
from transfers.engine.tree.base import Entry, Kind

_versions = itertools.count(1)
_asides = itertools.count(1)


@dataclass(frozen=True)
class File:
    content: bytes
    mtime_ns: int
    version: str


def parents(path: str) -> list[str]:
    """The folders that a path lies in, the outermost first."""
    names = path.rstrip("/").split("/")[:-1]
    return ["/".join(names[: depth + 1]) + "/" for depth in range(len(names))]


class Side:
    """What both kinds of sides can do."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.folders: set[str] = set()
        """Every folder, or only those that are marked."""
        self.hidden: set[str] = set()
        """Folders that cannot be looked into; what is below them is there nevertheless."""

    # What trees do

    def entries(self) -> list[Entry]:
        everything = [*self.files, *self.folders]
        found = [Entry(path, Kind.FILE, len(f.content), f.version, f.mtime_ns) for path, f in self.files.items()]
        found += [Entry(path, Kind.FOLDER, is_empty=not _below(everything, path)) for path in self.folders]
        return sorted(found, key=lambda entry: entry.path.encode())

    def write(self, path: str, content: bytes, mtime_ns: int, replaced: Entry | None) -> None:
        assert self.version_of(path) == (replaced and replaced.version), f"{path} is not what the plan says it is"
        self.place(path, content, mtime_ns)

    def set_aside(self, entry: Entry) -> Iterator[None]:
        raise NotImplementedError

    def remove(self, entry: Entry) -> None:
        if entry.kind is Kind.FILE and entry.path in self.files:
            assert self.version_of(entry.path) == entry.version, f"{entry.path} is not what the plan says it is"
            del self.files[entry.path]
            self.prune(entry.path)
        elif entry.kind is Kind.FOLDER and entry.path in self.folders:
            assert not _below(self.what_fills_folders(), entry.path), f"{entry.path} is not empty"
            self.folders.discard(entry.path)
            self.prune(entry.path)

    def make_folder(self, path: str) -> None:
        raise NotImplementedError

    # What users do, too

    def place(self, path: str, content: bytes, mtime_ns: int) -> None:
        raise NotImplementedError

    def move(self, path: str, new: str) -> None:
        """Give a file, or a folder with all that is in it, another name."""
        for old in [old for old in self.files if _is_or_is_below(old, path)]:
            file = self.files.pop(old)
            self.place(new + old.removeprefix(path), file.content, file.mtime_ns)
        for old in [old for old in self.folders if _is_or_is_below(old, path)]:
            self.folders.discard(old)
            self.make_folder(new + old.removeprefix(path))

    def what_fills_folders(self) -> list[str]:
        return [*self.files, *self.folders]

    def prune(self, path: str) -> None:
        for folder in reversed(parents(path)):
            if not _below([*self.files, *self.folders], folder):
                self.folders.discard(folder)

    def version_of(self, path: str) -> str | None:
        file = self.files.get(path)
        return file and file.version

    def contents(self) -> set[bytes]:
        return {file.content for file in self.files.values()}

    def snapshot(self) -> object:
        return dict(self.files), set(self.folders)

    def is_hidden(self, path: str) -> bool:
        """Whether the side has it, but cannot look."""
        return any(folder in self.hidden for folder in [*parents(path), path])


class FolderSide(Side):
    """Folders on a disk: a name is a file or a folder, and folders are there by themselves."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark = mark

    def entries(self) -> list[Entry]:
        problems = [
            Entry(folder.rstrip("/") + self._mark, Kind.PROBLEM, problem="a folder that cannot be opened")
            for folder in self.hidden
            if not any(each in self.hidden for each in parents(folder))
        ]
        seen = [entry for entry in super().entries() if not self.is_hidden(entry.path)]
        return sorted([*seen, *problems], key=lambda entry: entry.path.encode())

    def place(self, path: str, content: bytes, mtime_ns: int) -> None:
        assert path + "/" not in self.folders, f"{path} is a folder"
        assert not self.is_hidden(path), f"{path} cannot be looked at"
        self._need(parents(path))
        self.files[path] = File(content, mtime_ns, f"v{next(_versions)}")

    def make_folder(self, path: str) -> None:
        assert not self.is_hidden(path), f"{path} cannot be looked at"
        self._need([*parents(path), path])

    def _need(self, folders: list[str]) -> None:
        for folder in folders:
            assert folder.rstrip("/") not in self.files, f"{folder} is a file"
            self.folders.add(folder)

    def set_aside(self, entry: Entry) -> Iterator[None]:
        assert not self.is_hidden(entry.path), f"{entry.path} cannot be looked at"
        name = f"{entry.path.rstrip('/')}.conflict-{next(_asides)}"
        if entry.kind is Kind.FOLDER:
            assert entry.path in self.folders
            assert not any(folder.startswith(entry.path) for folder in self.hidden), "a problem is to be left alone"
            self.move(entry.path, name + "/")
        else:
            assert self.version_of(entry.path) == entry.version
            self.move(entry.path, name)
        yield


class KeySide(Side):
    """Keys as in S3: any key may be there beside any other, and folders only where they are marked."""

    def __init__(self, *, prunes: bool) -> None:
        super().__init__()
        self._prunes = prunes

    def place(self, path: str, content: bytes, mtime_ns: int) -> None:
        self.files[path] = File(content, mtime_ns, content.decode())

    def make_folder(self, path: str) -> None:
        self.folders.add(path)

    def what_fills_folders(self) -> list[str]:
        """Marks can go in any order."""
        return list(self.files)

    def prune(self, path: str) -> None:
        if self._prunes:
            super().prune(path)

    def set_aside(self, entry: Entry) -> Iterator[None]:
        """One key after the other: first the copy, then the removal."""
        name = f"{entry.path.rstrip('/')}.conflict-{next(_asides)}"
        if entry.kind is Kind.FILE:
            assert self.version_of(entry.path) == entry.version
        keys = [key for key in self.files if _is_or_is_below(key, entry.path)]
        for key in keys:
            file = self.files[key]
            self.place(name + key.removeprefix(entry.path.rstrip("/")), file.content, file.mtime_ns)
            yield
            del self.files[key]
            yield
        if entry.kind is Kind.FOLDER:
            self.folders = {mark for mark in self.folders if not _is_or_is_below(mark, entry.path)}


@dataclass
class Synced:
    """A manifest entry that knows more than a real one: the content."""

    content: bytes
    versions: tuple[str, str]


@dataclass
class Case:
    """Two sides and what is known of them; 0 is local, 1 is the cloud."""

    sides: tuple[Side, Side]
    manifest: dict[str, Synced] = field(default_factory=dict)

    def known(self, winner: int) -> list[Known]:
        return [
            Known(path, len(each.content), each.versions[winner], each.versions[1 - winner], "")
            for path, each in sorted(self.manifest.items(), key=lambda item: item[0].encode())
        ]

    def run(self, actions: list[Action], winner: int, shuffle: random.Random) -> Iterator[None]:
        """Do all of it, stage by stage, in any order within each; a kill may come wherever this yields."""
        for stage in Stage:
            turn = [action for action in actions if action.stage is stage]
            shuffle.shuffle(turn)
            for action in turn:
                yield from self._do(action, winner)

    def _do(self, action: Action, winner: int) -> Iterator[None]:
        losing = self.sides[1 - winner]
        match action.verb:
            case Verb.DELETE:
                assert action.loser is not None
                losing.remove(action.loser)
                yield
                self.manifest.pop(action.path, None)
            case Verb.SET_ASIDE:
                assert action.loser is not None
                yield from losing.set_aside(action.loser)
                self.manifest = {
                    path: it for path, it in self.manifest.items() if not _is_or_is_below(path, action.path)
                }
            case Verb.FORGET:
                self.manifest.pop(action.path, None)
            case Verb.REMEMBER:
                self.manifest[action.path] = Synced(b"", ("", ""))
            case Verb.FOLDER:
                losing.make_folder(action.path)
                yield
                self.manifest[action.path] = Synced(b"", ("", ""))
            case Verb.COPY | Verb.COMPARE | Verb.CONFLICT:
                yield from self._bring(action, winner)
        yield

    def _bring(self, action: Action, winner: int) -> Iterator[None]:
        winning, losing = self.sides[winner], self.sides[1 - winner]
        path, replaced = action.path, action.loser
        file = winning.files[path]
        assert action.winner is not None
        assert action.winner.version == file.version
        if action.verb is Verb.COMPARE:
            assert len(losing.files[path].content) == len(file.content)
        if action.verb is not Verb.COMPARE or losing.files[path].content != file.content:
            if action.in_danger and replaced is not None:
                yield from losing.set_aside(replaced)
                replaced = None
            losing.write(path, file.content, file.mtime_ns, replaced)
            yield
        versions = (self.sides[0].files[path].version, self.sides[1].files[path].version)
        self.manifest[path] = Synced(file.content, versions)


def _is_or_is_below(path: str, other: str) -> bool:
    return path == other or (other.endswith("/") and path.startswith(other))


def _below(paths: list[str], folder: str) -> bool:
    return any(path.startswith(folder) and path != folder for path in paths)
