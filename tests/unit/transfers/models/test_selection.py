"""Ways to pick files, as values: ids that lead back to their folder, and queries that survive being kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.errors import NoSuchFolderError
from transfers.models.selection import FileQuery, Folder, Selection, plain_bytes, plain_text

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
SIZES = st.none() | st.integers(0, 2**63 - 1)
QUERIES = st.builds(
    FileQuery,
    text=st.none() | NAMES,
    content_type=st.none() | st.sampled_from(["image/png", "image/*"]),
    folder=st.none() | st.just("") | NAMES,
    created_after=MOMENTS,
    created_before=MOMENTS,
    min_size=SIZES,
    max_size=SIZES,
)


@given(st.builds(Folder, st.integers(1, 10**18 - 1), NAMES))
def test_an_id_leads_back_to_its_folder(folder: Folder) -> None:
    assert Folder.parse(folder.id) == folder
    assert len(folder.id) <= 1_500


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scans",
        "folder-",
        "folder-7-",
        "folder-7-!",
        "folder-7-a",
        "folder--c2NhbnM",
        "folder-x-c2NhbnM",
        "folder-7-c2NhbnM=",
        "folder-7-c2NhbnM\n",
        " folder-7-c2NhbnM",
        "folder-\u0667-c2NhbnM",
        "folder-" + "9" * 19 + "-c2NhbnM",
        "folder-7-" + "A" * 1401,
        Folder(7, "nul\0").id,
        "folder-7-" + plain_text(b"\xff\xfe"),
        "folder-7-" + plain_text(b"\xed\xa0\x80"),
    ],
)
def test_what_is_no_folders_id(text: str) -> None:
    with pytest.raises(NoSuchFolderError):
        Folder.parse(text)


@given(st.builds(Selection, query=QUERIES) | st.builds(Selection, parent_id=st.none() | NAMES))
def test_a_selection_survives_being_kept(selection: Selection) -> None:
    assert Selection.from_json(json.loads(json.dumps(selection.as_json()))) == selection


def test_what_is_kept_is_what_was_asked() -> None:
    asked = FileQuery(text="scan", min_size=0, created_after=datetime(2026, 11, 21, 9, tzinfo=UTC))
    assert Selection(query=asked).as_json() == {
        "query": {"text": "scan", "created_after": "2026-11-21T09:00:00+00:00", "min_size": 0}
    }
    assert Selection(query=FileQuery()).as_json() == {"query": {}}
    assert Selection().as_json() == {"parentId": None}


@given(st.binary())
def test_plain_text_needs_no_escape_and_leads_back(content: bytes) -> None:
    text = plain_text(content)
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in text)
    assert plain_bytes(text) == content


@pytest.mark.parametrize("text", ["a", "a b=", "é", "=", "ab=c"])
def test_what_is_no_plain_text(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what went wrong is told by whoever asked
        plain_bytes(text)
