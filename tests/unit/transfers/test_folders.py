"""A client's words for a place never lead out of the download folder, and a URL's for a name never to a bad one."""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from django import conf
from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from transfers import folders
from transfers.engine.local import MAX_NAME_BYTES, OUR_SUFFIXES, LocalSink, numbered
from transfers.engine.plan import whole
from transfers.errors import InvalidInputError

WINDOWS_MAP = {r"C:\Ray\RAYTeams\data": "teams", "C:/Ray": "ray", "/mnt/nas/": "nas", "D:\\": "/srv/outside"}


@pytest.fixture
def root(settings: Settings, tmp_path: Path) -> Path:
    """The download folder, which does not exist yet."""
    place = tmp_path.resolve() / "downloads"
    use(settings, download_root=place)
    return place


def use(settings: Settings, **values: object) -> None:
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update=values)


INSIDE = {
    "default": ("", ""),
    "relative": ("a/b", "a/b"),
    "one-dot": ("./a/./b/.", "a/b"),
    "slashes": ("a//b///", "a/b"),
    "windows-separators": (r"a\b\c", "a/b/c"),
    "mixed-separators": (r"a\b/c", "a/b/c"),
    "up-and-down": ("a/../b", "b"),
    "up-to-the-root-itself": ("a/..", ""),
    "spaces": (" a / b ", " a / b "),
    "dots-that-are-names": ("...", "..."),
    "unicode": ("übung/日本", "übung/日本"),
    "tilde": ("~/a", "~/a"),
    "home-of-another": ("~root", "~root"),
    "a-variable": ("$HOME/a", "$HOME/a"),
    "percent": ("%2e%2e/a", "%2e%2e/a"),
    "dash": ("-rf", "-rf"),
    "longest-part": ("n" * 255, "n" * 255),
    "drive": (r"C:\Ray\RAYTeams\data", "C/Ray/RAYTeams/data"),
    "drive-in-lower-case": (r"c:\a", "C/a"),
    "drive-with-slashes": ("d:/a/b", "D/a/b"),
    "drive-alone": ("C:", "C"),
    "drive-and-separator": ("C:\\", "C"),
    "drive-relative": ("C:a", "C/a"),
    "up-inside-a-drive": (r"C:\a\..\b", "C/b"),
    "colon-in-a-name": ("ab:c", "ab:c"),
}


@pytest.mark.parametrize(("output_folder", "folder"), INSIDE.values(), ids=INSIDE)
def test_what_lies_inside(root: Path, output_folder: str, folder: str) -> None:
    assert folders.resolve(output_folder) == root / folder
    assert not root.exists(), "nothing is made"


def test_absolute_paths_inside(root: Path) -> None:
    assert folders.resolve(str(root)) == root
    assert folders.resolve(f"{root}/") == root
    assert folders.resolve(f"{root}/a/../b") == root / "b"


OUTSIDE = {
    "up": "..",
    "up-and-down-again": "../downloads-of-others",
    "up-in-the-middle": "a/../../b",
    "up-with-windows-separators": r"a\..\..\b",
    "far-up": "../" * 50 + "etc",
    "absolute": "/etc",
    "root": "/",
    "up-from-the-absolute-root": "{root}/../x",
    "beside-the-root-with-its-name": "{root}-2",
    "unc": r"\\server\share",
    "unc-with-slashes": "//server/share",
    "device": r"\\?\C:\a",
    "up-from-a-drive": r"C:\..\x",
    "up-from-a-drive-alone": "C:..",
    "nul": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1bb",
    "c1-control": "a\x85b",
    "half-a-surrogate-pair": "a\ud800b",
    "part-too-long": "n" * 256,
    "part-too-long-in-bytes": "\N{SNOWMAN}" * 86,
    "too-long": "a/" * 1025,
    "path-too-long": "日" * 80 + ("/" + "日" * 80) * 20,
}


@pytest.mark.parametrize("output_folder", OUTSIDE.values(), ids=OUTSIDE)
def test_what_lies_outside_or_cannot_be(root: Path, output_folder: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        folders.resolve(output_folder.replace("{root}", str(root)))
    assert list(raised.value.errors) == ["outputFolder"]
    assert not root.exists()


@pytest.mark.parametrize("link", ["a", "a/b", "C"], ids=["first", "below", "a-drive"])
@pytest.mark.parametrize("target", ["/", "/etc", "{root}/../outside", "{root}-2"])
def test_a_symlink_that_leads_outside(root: Path, link: str, target: str) -> None:
    place = root / link
    place.parent.mkdir(parents=True)
    place.symlink_to(target.replace("{root}", str(root)))
    for output_folder in (
        link,
        f"{link}/deeper",
        f"{link}/../{place.name}",
        str(place),
        "C:\\x" if link == "C" else link,
    ):
        with pytest.raises(InvalidInputError):
            folders.resolve(output_folder)


def test_a_symlink_in_a_circle(root: Path) -> None:
    root.mkdir()
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    try:
        folder = folders.resolve("a/c")
    except InvalidInputError:
        return
    assert folder.is_relative_to(root)  # later Pythons give the path as it is


def test_a_symlink_that_stays_inside(root: Path) -> None:
    (root / "real").mkdir(parents=True)
    (root / "link").symlink_to("real")
    (root / "C").symlink_to("real")
    assert folders.resolve("link/x") == root / "real" / "x"
    assert folders.resolve(r"C:\x") == root / "real" / "x"


def test_a_download_folder_behind_a_symlink(root: Path, settings: Settings) -> None:
    root.mkdir()
    link = root.with_name("link")
    link.symlink_to(root)
    use(settings, download_root=link)
    assert folders.resolve("a") == root / "a"
    assert folders.resolve(f"{link}/a") == root / "a"
    assert folders.resolve(f"{root}/a") == root / "a"
    assert folders.resolve("C:/a") == root / "C" / "a"


MAPPED = {
    "prefix-itself": (r"C:\Ray\RAYTeams\data", "{root}/teams"),
    "below": (r"C:\Ray\RAYTeams\data\x\y", "{root}/teams/x/y"),
    "any-case": (r"c:\ray\rayteams\DATA\X", "{root}/teams/X"),
    "slashes": ("C:/Ray/RAYTeams/data/x", "{root}/teams/x"),
    "the-longest-prefix-counts": (r"C:\Ray\other", "{root}/ray/other"),
    "a-longer-name-is-no-match": (r"C:\Rays", "{root}/C/Rays"),
    "another-drive": (r"E:\Ray", "{root}/E/Ray"),
    "unix-prefix": ("/mnt/nas/x", "{root}/nas/x"),
    "a-place-outside-that-the-operator-chose": (r"D:\x", "/srv/outside/x"),
}


@pytest.mark.parametrize(("output_folder", "folder"), MAPPED.values(), ids=MAPPED)
def test_a_prefix_map(root: Path, settings: Settings, output_folder: str, folder: str) -> None:
    use(settings, path_map=WINDOWS_MAP)
    assert folders.resolve(output_folder) == Path(folder.replace("{root}", str(root)))


@pytest.mark.parametrize(
    "output_folder",
    [r"C:\Ray\..\x", r"C:\Ray\RAYTeams\data\..\x", "/mnt/nas/../x", "/MNT/NAS/x", "/mnt/nasty", r"D:\..\x"],
)
def test_a_mapped_folder_is_not_left(root: Path, settings: Settings, output_folder: str) -> None:
    use(settings, path_map=WINDOWS_MAP)
    with pytest.raises(InvalidInputError):
        folders.resolve(output_folder)
    assert not root.exists()


def test_a_symlink_out_of_a_mapped_folder(root: Path, settings: Settings) -> None:
    use(settings, path_map={"M:": "mapped"})
    (root / "mapped").mkdir(parents=True)
    (root / "mapped" / "out").symlink_to("..")
    with pytest.raises(InvalidInputError):
        folders.resolve(r"M:\out")


# What a client is shown ----------------------------------------------------------------------------------------------

SHOWN = {
    "default": ("", "/r/film.mov", "/r/film.mov"),
    "relative": ("a", "/r/a/film.mov", "/r/a/film.mov"),
    "drive": (r"C:\Ray\data", "/r/C/Ray/data/film.mov", r"C:\Ray\data\film.mov"),
    "drive-with-slashes": ("C:/Ray/data", "/r/C/Ray/data/film (1).mov", "C:/Ray/data/film (1).mov"),
    "closing-separator": ("C:\\Ray\\", "/r/C/Ray/film.mov", r"C:\Ray\film.mov"),
    "drive-alone": ("C:", "/r/C/film.mov", "C:/film.mov"),
    "mapped": ("/mnt/nas/x", "/r/nas/x/film.mov", "/mnt/nas/x/film.mov"),
    "absolute-from-before-the-folder-was-moved": ("/old/place", "/old/place/film.mov", "/old/place/film.mov"),
}


@pytest.mark.parametrize(("output_folder", "save_path", "shown"), SHOWN.values(), ids=SHOWN)
@pytest.mark.usefixtures("root")
def test_a_client_is_shown_its_own_form(settings: Settings, output_folder: str, save_path: str, shown: str) -> None:
    use(settings, path_map={"/mnt/nas": "nas"})
    assert folders.shown(output_folder, save_path) == shown


# Names ---------------------------------------------------------------------------------------------------------------

NAMES = {
    "plain": ("film.mov", "film.mov"),
    "a-folder": ("", "a"),
    "slash-at-the-end": ("folder/", "folder"),
    "slashes-at-the-end": ("//", "a"),
    "query-and-fragment": ("film.mov?name=x.exe#y", "film.mov"),
    "encoded": ("a%20b%C3%BC.mov", "a bü.mov"),
    "not-utf-8": ("%FF.mov", "\ufffd.mov"),
    "encoded-separator": ("a%2Fb.mov", "b.mov"),
    "encoded-windows-separator": ("a%5Cb.mov", "b.mov"),
    "windows-separator": ("a\\b.mov", "b.mov"),
    "encoded-up": ("%2e%2e", "download"),
    "up-behind-an-encoded-separator": ("x%2F..", "download"),
    "encoded-path": ("..%2F..%2Fetc%2Fpasswd", "passwd"),
    "double-encoded-stays": ("%252e%252e%252fx", "%2e%2e%2fx"),
    "dot": (".", "download"),
    "hidden": (".profile", ".profile"),
    "dots-at-the-end": ("film.mov...", "film.mov"),
    "spaces-around": ("%20%20film.mov%20", "film.mov"),
    "spaces-and-dots": ("%20.%20.%20", "download"),
    "nul": ("film%00.exe", "film.exe"),
    "newline": ("fi%0D%0Alm.mov", "film.mov"),
    "c1-control": ("a%C2%85b", "ab"),
    "line-separator": ("a%E2%80%A8b", "ab"),
    "right-to-left-override": ("gnp.%E2%80%AEexe", "gnp.exe"),
    "arabic-letter-mark": ("a%D8%9Cb", "ab"),
    "unseen-alone": ("%E2%80%8B%E2%80%8D", "download"),
    "joiner-inside-a-word": ("%D9%86%E2%80%8C%D9%87.txt", "\u0646\u200c\u0647.txt"),
    "reserved": ("CON", "_CON"),
    "reserved-with-extension": ("nul.tar.gz", "_nul.tar.gz"),
    "reserved-with-space": ("aux%20.txt", "_aux .txt"),
    "reserved-port": ("com1", "_com1"),
    "reserved-superscript-port": ("LPT%C2%B9.txt", "_LPT¹.txt"),
    "reserved-console": ("CONIN$", "_CONIN$"),
    "nearly-reserved": ("console.txt", "console.txt"),
    "unfinished": ("film.mov.part", "film.mov.part_"),
    "unfinished-in-capitals": ("film.PART", "film.PART_"),
    "journal": ("film.mov.part.journal", "film.mov.part.journal_"),
    "fresh-journal": ("film.mov.part.journal.new", "film.mov.part.journal.new_"),
    "part-alone": (".part", ".part_"),
    "unfinished-behind-a-dot": ("film.part.", "film.part_"),
    "parameters": ("film.mov;v=1", "film.mov;v=1"),
    "long": ("n" * 300 + ".mov", "n" * (MAX_NAME_BYTES - 4) + ".mov"),
    "long-without-extension": ("n" * 300, "n" * MAX_NAME_BYTES),
    "long-with-a-long-extension": ("n." + "e" * 300, ("n." + "e" * 300)[:MAX_NAME_BYTES]),
    "long-in-bytes": ("%E2%98%83" * 100 + ".mov", "\N{SNOWMAN}" * ((MAX_NAME_BYTES - 4) // 3) + ".mov"),
    "cut-behind-a-dot": ("n" * (MAX_NAME_BYTES - 1) + "." + "e" * 40, "n" * (MAX_NAME_BYTES - 1)),
    "cut-to-an-unfinished-one": (
        "n" * (MAX_NAME_BYTES - 5) + ".part" + "e" * 40,
        "n" * (MAX_NAME_BYTES - 6) + ".part_",
    ),
}


@pytest.mark.parametrize(("last", "name"), NAMES.values(), ids=NAMES)
def test_a_urls_name(last: str, name: str) -> None:
    assert folders.safe_name(f"https://media.example/a/{last}") == name


@pytest.mark.parametrize("path", ["", "/", "//", "/?a=b", "/#a"])
def test_a_url_without_a_name(path: str) -> None:
    assert folders.safe_name(f"https://media.example{path}") == "download"


@given(
    st.text(st.characters(codec="utf-8"), max_size=400) | st.text("./\\ %\0\n\u202epartnewjou", max_size=300),
    st.booleans(),
)
@example("n" * 230 + ".part" + "e" * 40, True)
def test_any_url_gives_a_name_that_any_file_system_takes(last: str, encoded: bool) -> None:  # noqa: FBT001
    name = folders.safe_name(f"https://media.example/{quote(last, safe='') if encoded else last}")
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & {"/", "\\", "\0"}
    assert name not in (".", "..")
    assert not {unicodedata.category(character) for character in name} & {"Cc", "Cs", "Zl", "Zp"}
    assert not name.lower().endswith(OUR_SUFFIXES)
    assert name == name.strip(" ").rstrip(". ")
    assert folders.safe_name(f"https://media.example/{quote(name, safe='')}") == name, "a safe name is left alone"
    assert (
        len(f"{next(path for path in numbered(Path('/') / name)).name} (99999){max(OUR_SUFFIXES, key=len)}".encode())
        <= 255
    )


@given(
    st.lists(
        st.sampled_from(["..", ".", "", "a", "C:", "c", "~", "\\", " ", "..\\..", "link", "out", "é", "/", "n" * 255]),
        max_size=8,
    ),
    st.sampled_from(["/", "\\"]),
)
def test_no_words_lead_out(words: list[str], separator: str) -> None:
    with tree() as (root, outside):
        environment = conf.settings.ENVIRONMENT.model_copy(update={"download_root": root, "path_map": {}})
        with override_settings(ENVIRONMENT=environment):
            try:
                folder = folders.resolve(separator.join(words))
            except InvalidInputError:
                return
        assert folder == folder.resolve()
        assert folder.is_relative_to(root)
        folder.mkdir(parents=True, exist_ok=True)
        assert list(outside.iterdir()) == []


@contextmanager
def tree() -> Iterator[tuple[Path, Path]]:
    """A download folder with a symlink inside and one out of it, and the folder that this one leads to."""
    with tempfile.TemporaryDirectory() as base:
        root, outside = Path(base).resolve() / "downloads", Path(base).resolve() / "outside"
        for folder in (root / "a", outside):
            folder.mkdir(parents=True)
        (root / "link").symlink_to("a")
        (root / "out").symlink_to(outside)
        yield root, outside


@pytest.mark.parametrize("length", [1, 100, MAX_NAME_BYTES, 400])
def test_the_longest_folder_takes_the_longest_name(root: Path, length: int) -> None:
    room = folders.MAX_PATH_BYTES - 256 - len(str(root))
    folder = folders.resolve("/".join(["ü" * 100] * (room // 201)))
    with pytest.raises(InvalidInputError):
        folders.resolve("/".join(["ü" * 100] * (room // 201 + 1)))
    sink = LocalSink(folder / folders.safe_name(f"https://media.example/{'n' * length}"), generation="one")
    sink.begin(whole(1))
    sink.share()
    sink.abort()
