"""What uploads are told with: parts as JSON and as the source prints them, names, numbers and MD5s in any dress."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.engine.plan import MAX_PARTS
from transfers.serializers.upload import (
    CompleteSerializer,
    InitiateSerializer,
    PartSerializer,
    UploadIdSerializer,
)
from transfers.services.upload import UploadRequest

A, B = "0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f"


def parts_of(text: str) -> dict[int, str] | None:
    """What `parts` of this text says; None when it is refused."""
    checked = CompleteSerializer(data={"fileId": "1", "parts": text})
    return checked.validated_data["parts"] if checked.is_valid() else None


def request_of(**fields: object) -> UploadRequest:
    checked = InitiateSerializer(data={"catalog": "other-doc", "fileName": "film.mov", **fields})
    checked.is_valid(raise_exception=True)
    request: UploadRequest = checked.save()
    return request


def errors_of(serializer: type[Any], **fields: object) -> set[str]:
    """The fields that are refused."""
    checked = serializer(data=fields)
    return set() if checked.is_valid() else set(checked.errors)


# parts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps({1: A, 2: B}), id="JSON.stringify"),
        pytest.param(json.dumps({1: A, 2: B}, indent=2), id="over several lines"),
        pytest.param(json.dumps({1: A.upper(), 2: B}), id="uppercase"),
        pytest.param(json.dumps({2: B, 1: A}), id="in another order"),
        pytest.param(f"{{1: '{A}', 2: '{B}'}}", id="the source's own form"),
        pytest.param(f"{{1:'{A}',2:'{B}'}}", id="the source's own form without spaces"),
        pytest.param(f"{{1: '{A}', 2: '{B}',}}", id="with a comma at the end"),
        pytest.param(f"{{'1': '{A}', '2': '{B}'}}", id="as Python prints it"),
        pytest.param(f"  {{1:{A},2:{B}}}\n", id="without quotes"),
    ],
)
def test_parts_as_they_are_written(text: str) -> None:
    assert parts_of(text) == {1: A, 2: B}


@pytest.mark.parametrize("text", ["{}", " { } "])
def test_no_parts_are_parts_too(text: str) -> None:
    assert parts_of(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("null", id="null"),
        pytest.param("[object Object]", id="an object that was not made a string"),
        pytest.param("undefined", id="undefined"),
        pytest.param(json.dumps([A, B]), id="a list"),
        pytest.param(json.dumps({1: "md51"}), id="no MD5"),
        pytest.param(json.dumps({1: A[:-1]}), id="a digit too few"),
        pytest.param(json.dumps({1: A + "0"}), id="a digit too many"),
        pytest.param(json.dumps({1: None}), id="no value"),
        pytest.param(json.dumps({1: {"md5": A}}), id="nested"),
        pytest.param(json.dumps({"one": A}), id="no number"),
        pytest.param(json.dumps({"-1": A}), id="a negative number"),
        pytest.param(json.dumps({"1.5": A}), id="a fraction"),
        pytest.param(json.dumps({"": A}), id="no number at all"),
        pytest.param(json.dumps({10**6: A}), id="a number of many digits"),
        pytest.param(json.dumps({0: A}), id="part 0"),
        pytest.param(json.dumps({MAX_PARTS + 1: A}), id="part 10,001"),
        pytest.param(f'{{"1": "{A}", "1": "{B}"}}', id="a number twice"),
        pytest.param(f'{{"1": "{A}", "01": "{A}"}}', id="a number twice, in two ways"),
        pytest.param(f"{{1: '{A}'", id="without an end"),
        pytest.param(f"{{1: '{A}' 2: '{B}'}}", id="without commas"),
        pytest.param(f"{{1: '{A}'}} {{2: '{B}'}}", id="twice"),
        pytest.param(f"{{\u0661: '{A}'}}", id="digits of another script"),
        pytest.param(f"{{1: '{A}\x00'}}", id="a null character"),
        pytest.param("{" * 100_000, id="braces"),
    ],
)
def test_what_are_no_parts(text: str) -> None:
    assert parts_of(text) is None


@given(
    st.dictionaries(
        st.integers(1, MAX_PARTS), st.text("0123456789abcdefABCDEF", min_size=32, max_size=32), max_size=30
    ),
    st.sampled_from([json.dumps, str, lambda parts: json.dumps(parts, indent=1), lambda parts: str(parts).upper()]),
)
def test_whatever_was_written_is_read(parts: dict[int, str], write: Any) -> None:
    assert parts_of(write(parts)) == {number: md5.lower() for number, md5 in parts.items()}


@given(st.text("{}:,'\" 01aAbf\n\t", max_size=200) | st.text(max_size=100))
def test_any_other_text_is_read_or_refused(text: str) -> None:
    found = parts_of(text)
    assert found is None or all(len(md5) == 32 for md5 in found.values())


def test_as_many_parts_as_there_may_be_and_as_much_rubbish_are_read_at_once() -> None:
    parts = dict.fromkeys(range(1, MAX_PARTS + 1), A)
    rubbish = [
        json.dumps(parts)[:-1],
        "{" + " " * 10**6,
        "{1:" * 300_000,
        "{" + "1," * 500_000,
        f"{{{'1:' + A + ', ' * 2:.>40}}}" * 9_000,
        f"{{1: '{A}'" + "," * 10**6 + "}",
    ]
    began = time.monotonic()
    assert parts_of(json.dumps(parts)) == parts
    for text in rubbish:
        assert parts_of(text) is None
    assert time.monotonic() - began < 3


# The numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["1", "10000", " 7 ", "007"])
def test_numbers_that_a_part_may_have(number: str) -> None:
    assert not errors_of(PartSerializer, fileId="1", part=number)


@pytest.mark.parametrize(
    "number",
    ["0", "-1", "10001", "1.5", "1e3", "0x1", "one", "", "None", "NaN", "9" * 2**20, "1" + "0" * 900, "1\x00"],
    ids=lambda number: repr(number[:12]),
)
def test_numbers_that_no_part_has(number: str) -> None:
    assert errors_of(PartSerializer, fileId="1", part=number) == {"part"}


@pytest.mark.parametrize("number", ["0", "-1", "one", "", "9" * 2**20, "1.5", "[1]"], ids=lambda n: repr(n[:12]))
def test_ids_that_no_upload_has(number: str) -> None:
    assert errors_of(UploadIdSerializer, fileId=number) == {"fileId"}
    assert errors_of(PartSerializer, fileId=number, part="1") == {"fileId"}
    assert errors_of(CompleteSerializer, fileId=number, parts="{}") == {"fileId"}


@pytest.mark.parametrize("md5", [A, A.upper(), ""])
def test_md5s_in_either_case(md5: str) -> None:
    checked = PartSerializer(data={"fileId": "1", "part": "1", "md5": md5})
    assert checked.is_valid()
    assert checked.validated_data["md5"] == md5.lower()
    assert request_of(md5=md5).md5 == md5.lower()


@pytest.mark.parametrize("md5", [A[:-1], A + "0", "g" * 32, "md5", f"{A}, {B}", "0" * 10**5], ids=lambda m: m[:34])
def test_what_is_no_md5(md5: str) -> None:
    assert errors_of(PartSerializer, fileId="1", part="1", md5=md5) == {"md5"}
    assert errors_of(InitiateSerializer, catalog="a", fileName="b", md5=md5) == {"md5"}


# What begins an upload -----------------------------------------------------------------------------------------------


def test_what_an_upload_begins_with() -> None:
    request = request_of(
        mode="31", notes="Röntgen", fileSize="215", md5=A.upper(), contentType="video/QuickTime; codecs=x"
    )
    assert request == UploadRequest(
        catalog="other-doc",
        name="film.mov",
        content_type="video/quicktime",
        mode=31,
        notes="Röntgen",
        size=215,
        md5=A,
    )
    assert request_of() == UploadRequest(catalog="other-doc", name="film.mov")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "x"),
        ("mode", "3.1"),
        ("mode", str(2**63)),
        ("mode", "9" * 5000),
        ("fileSize", "-1"),
        ("fileSize", "x"),
        ("fileSize", str(2**63)),
        ("fileSize", "1e3"),
        ("notes", "x" * 10_001),
        ("notes", "a\x00b"),
        ("fileName", "x" * 256),
        ("fileName", "a\x00b"),
        ("catalog", ""),
        ("catalog", "x" * 101),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_no_upload_begins_with(field: str, value: str) -> None:
    assert errors_of(InitiateSerializer, **{"catalog": "a", "fileName": "b", field: value}) == {field}


def test_a_catalog_and_a_name_are_needed() -> None:
    assert errors_of(InitiateSerializer, fileName="b") == {"catalog"}
    assert errors_of(InitiateSerializer, catalog="a") == {"file"}
    assert errors_of(InitiateSerializer, catalog="a", fileName="") == {"file"}


@pytest.mark.parametrize(
    "catalog",
    ["..", ".", "...", ". .", "a/b", "/etc", "a\\b", "..\\x", "a\x00b", "a\nb", "a\u202eb", "a\u200bb", "\u2028", "/"],
    ids=repr,
)
def test_catalogs_that_name_no_folder(catalog: str) -> None:
    assert errors_of(InitiateSerializer, catalog=catalog, fileName="b") == {"catalog"}


@pytest.mark.parametrize("catalog", ["other-doc", "病历", "a b", "a.b", ".hidden", "CON", "x" * 100, "🎬", "%2e%2e"])
def test_catalogs_that_do(catalog: str) -> None:
    assert request_of(catalog=catalog).catalog == catalog


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("film.mov", "film.mov"),
        ("../../film.mov", "film.mov"),
        ("/etc/passwd", "passwd"),
        ("C:\\fakepath\\film.mov", "film.mov"),
        ("gpj.\u202efilm.mov", "gpj.film.mov"),
        ("a\u200b\u2066b.mov", "ab.mov"),
        ("фильм 🎬.mov", "фильм 🎬.mov"),
        ("\u0646\u0645\u06cc\u200c\u062f.mov", "\u0646\u0645\u06cc\u200c\u062f.mov"),
        ("film\r\nSet-Cookie: x.mov", "filmSet-Cookie: x.mov"),
        ("x" * 255, "x" * 255),
        ("a/" * 3000 + "film.mov", "film.mov"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_people_are_shown_of_a_name(told: str, name: str) -> None:
    assert request_of(fileName=told).name == name


@pytest.mark.parametrize("told", ["", "/", "a/", "\\", "\u202e", "\u200b", " ", "C:\\"], ids=repr)
def test_names_of_which_nothing_is_left(told: str) -> None:
    assert errors_of(InitiateSerializer, catalog="a", fileName=told) == {"file"}


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("video/quicktime", "video/quicktime"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("image/svg+xml", "image/svg+xml"),
        ("", "application/octet-stream"),
        ("quicktime", "application/octet-stream"),
        ("a/b\r\nX: y", "application/octet-stream"),
        ("text/html, text/plain", "application/octet-stream"),
        ("/" * 300, "application/octet-stream"),
        ("x" * 300 + "/y", "application/octet-stream"),
        ("é/ü", "application/octet-stream"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_types_that_are_none_are_unknown(told: str, kind: str) -> None:
    assert request_of(contentType=told).content_type == kind


@given(
    st.dictionaries(
        st.sampled_from(["catalog", "mode", "notes", "fileName", "contentType", "fileSize", "md5"]),
        st.text(max_size=60),
    )
)
def test_any_fields_are_taken_or_refused(fields: dict[str, str]) -> None:
    checked = InitiateSerializer(data=fields)
    if checked.is_valid():
        request = checked.save()
        assert request.name
        assert request.catalog.strip(". ")
        assert "/" not in request.catalog + request.name
