"""Entry names: safe everywhere, unique everywhere, and the same ones every time."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.engine.archive import EntryNames
from transfers.engine.archive.names import safe_component

ODD = st.sampled_from("aAbB./\\ :é\u0301e\u0300ßsSﬁK\u212aİ\u0131\0\x7f\u200b()1.") | st.characters()
LONG = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", ".", "..", "CON", "nul.", "a", "a.", "é"]),
    st.builds(str.__mul__, st.sampled_from(" .xé"), st.integers(120, 300)),
    st.text(ODD, max_size=4),
)
"""Names of more than a component has room for, most of them, whose cut leaves what only then is wrong."""
TEXTS = st.text(ODD, max_size=12) | st.sampled_from(["con", "a", "A", "a (1)", "..", "a/b", "x" * 300 + ".txt"]) | LONG
FILES = st.lists(st.tuples(TEXTS, TEXTS), max_size=25)


def named(*files: tuple[str, str]) -> list[str]:
    """The names that these files get, in this order."""
    names = EntryNames()
    return [names.add(folder, name) for folder, name in files]


def key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Übergröße 日本.txt", "Übergröße 日本.txt"),
        ("e\u0301.txt", "e\u0301.txt"),
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("...", "_"),
        (" . ", "_"),
        (".bashrc", ".bashrc"),
        ("a/b", "a_b"),
        ("..\\..\\x", ".._.._x"),
        ('<>:"|?*', "_______"),
        ("a\0b\x1fc\x7fd\x85", "a_b_c_d_"),
        ("\udc80.txt", "_.txt"),
        ("safe\u202egnp.exe", "safe_gnp.exe"),
        ("\u200e\u200f\u061c\u2066x\u2069", "____x_"),
        ("trailing. . ", "trailing"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Com1.tar.gz", "_Com1.tar.gz"),
        ("LPT³", "_LPT³"),
        ("aux .c", "_aux .c"),
        ("CONIN$", "_CONIN$"),
        ("COM10", "COM10"),
        ("console", "console"),
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 255),
        ("x" * 300 + ".tar.gz", "x" * 252 + ".gz"),
        ("é" * 200 + ".txt", "é" * 125 + ".txt"),
        ("日" * 100, "日" * 85),
        ("a." + "x" * 300, "a." + "x" * 253),
        ("x" * 254 + " y", "x" * 254),
        ("." + " " * 253 + "é", "_"),
        ("CON" + " " * 252 + "é", "_CON"),
        ("nul." + "x" * 252, "_nul." + "x" * 250),
    ],
)
def test_a_safe_component(name: str, safe: str) -> None:
    assert safe_component(name) == safe


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([("", "a.txt"), ("", "a.txt"), ("", "a.txt")], ["a.txt", "a (1).txt", "a (2).txt"]),
        ([("", "a.txt"), ("", "a (1).txt"), ("", "a.txt")], ["a.txt", "a (1).txt", "a (2).txt"]),
        ([("", "a.txt"), ("", "a.txt"), ("", "a (1).txt")], ["a.txt", "a (1).txt", "a (1) (1).txt"]),
        ([("f", "a"), ("g", "a"), ("f", "a")], ["f/a", "g/a", "f/a (1)"]),
        ([("", "a"), ("a", "b"), ("a", "c")], ["a", "a (1)/b", "a (1)/c"]),
        ([("a", "b"), ("", "a"), ("a", "c")], ["a/b", "a (1)", "a/c"]),
        ([("", "A.txt"), ("", "a.TXT")], ["A.txt", "a (1).TXT"]),
        ([("", "\u00e9"), ("", "e\u0301")], ["\u00e9", "e\u0301 (1)"]),
        ([("", "straße"), ("", "STRASSE")], ["straße", "STRASSE (1)"]),
        ([("Case", "x"), ("case", "x"), ("case", "y")], ["Case/x", "Case/x (1)", "Case/y"]),
        ([("/etc/../x//./", "passwd")], ["etc/_/x/passwd"]),
        ([("a/b", "c"), ("a", "b"), ("a/b", "d")], ["a/b/c", "a/b (1)", "a/b/d"]),
        ([("CON/ ", "a")], ["_CON/_/a"]),
        ([("." + " " * 253 + "é", "x.txt"), ("cat", "." + " " * 253 + "é")], ["_/x.txt", "cat/_"]),
    ],
    ids=str,
)
def test_in_this_order(files: list[tuple[str, str]], names: list[str]) -> None:
    assert named(*files) == names


def test_a_long_name_is_cut_for_its_number() -> None:
    first, second = named(("", "x" * 251 + ".txt"), ("", "x" * 251 + ".txt"))
    assert len(first) == 255
    assert (second.endswith(" (1).txt"), len(second) <= 255) == (True, True)


def test_a_folder_too_deep_for_any_entry_loses_its_end() -> None:
    folder = "/".join(str(number) * 50 for number in range(1000, 2000))
    names = named((folder, "a" * 300), (folder, "a" * 300))
    assert len(set(names)) == 2
    assert all(65_000 < len(name.encode()) <= 65_535 for name in names)


@given(FILES)
def test_all_are_safe_and_no_two_are_the_same_anywhere(files: list[tuple[str, str]]) -> None:
    names = named(*files)
    assert len({key(name) for name in names}) == len(names)
    assert names == named(*files)
    keys = {key(name) for name in names}
    for name in names:
        components = name.split("/")
        assert all(0 < len(each.encode()) <= 255 for each in components), "neither absolute nor a folder's name"
        assert all(safe_component(each) == each for each in components), "each is safe by itself, also once numbered"
        above = {key("/".join(components[:depth])) for depth in range(1, len(components))}
        assert not above & keys, "no folder is a file"
        assert len(name.encode()) <= 65_535


@pytest.mark.parametrize(
    "files",
    [
        lambda: (("cat", "file.txt") for _ in range(70_000)),
        lambda: (("cat", "x" * 250 + f"{number // 2:05}.txt") for number in range(70_000)),
        lambda: (("a" if number % 2 else "", f"a{'' if number % 2 else '/'}") for number in range(70_000)),
    ],
    ids=["of one name", "of long names", "of a file and a folder"],
)
def test_seventy_thousand_twins_take_seconds(files: object) -> None:
    began = time.process_time()
    names = named(*files())  # type: ignore[operator]
    assert time.process_time() - began < 20, "trying every number for each would take hours"
    assert len(set(names)) == 70_000
