from __future__ import annotations

import base64
import datetime as dt
import hashlib

import pytest
from requests.structures import CaseInsensitiveDict

from transfers.engine.base import Validator, ValidatorKind
from transfers.engine.http.headers import (
    ContentRange,
    content_coding,
    content_length,
    content_range,
    content_type,
    digests,
    http_date,
    media_type,
    retry_after_seconds,
    unsatisfied_size,
    validator_of,
)
from transfers.errors import SourceProtocolError

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"
MD5 = hashlib.md5(b"file", usedforsecurity=False)
SHA256 = hashlib.sha256(b"file")
MD5_64 = base64.b64encode(MD5.digest()).decode()
SHA256_64 = base64.b64encode(SHA256.digest()).decode()


def headers(**values: str) -> CaseInsensitiveDict[str]:
    return CaseInsensitiveDict({name.replace("_", "-"): value for name, value in values.items()})


class TestContentRange:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("bytes 0-0/1", ContentRange(0, 1, 1)),
            ("bytes 5-9/10", ContentRange(5, 10, 10)),
            ("bytes 5-9/*", ContentRange(5, 10, None)),
            ("Bytes 5-9/10 ", ContentRange(5, 10, 10)),
            ("bytes 5-10/10", None),
            ("bytes 9-5/10", None),
            ("bytes 5-/10", None),
            ("bytes -5/10", None),
            ("bytes */10", None),
            ("bytes=5-9/10", None),
            ("items 5-9/10", None),
            ("bytes 5-9", None),
            ("bytes 5-9/10, bytes 5-9/10", None),
            ("bytes \N{ARABIC-INDIC DIGIT FIVE}-9/10", None),
            ("", None),
        ],
    )
    def test_table(self, value: str, expected: ContentRange | None) -> None:
        assert content_range(headers(content_range=value)) == expected

    def test_missing(self) -> None:
        assert content_range(headers()) is None

    @pytest.mark.parametrize(
        ("value", "expected"), [("bytes */10", 10), ("bytes */0", 0), ("bytes 0-1/10", None), ("bytes */*", None)]
    )
    def test_unsatisfied(self, value: str, expected: int | None) -> None:
        assert unsatisfied_size(headers(content_range=value)) == expected


class TestContentLength:
    @pytest.mark.parametrize(("value", "expected"), [("0", 0), ("5", 5), (" 5 ", 5), ("5, 5", 5), ("00", 0)])
    def test_a_length(self, value: str, expected: int) -> None:
        assert content_length(headers(content_length=value)) == expected

    def test_none(self) -> None:
        assert content_length(headers()) is None

    @pytest.mark.parametrize(
        "value", ["", "5, 6", "-5", "+5", "5.0", "many", "5,", "\N{ARABIC-INDIC DIGIT FIVE}", "1_0", "9" * 40]
    )
    def test_nonsense(self, value: str) -> None:
        with pytest.raises(SourceProtocolError):
            content_length(headers(content_length=value))


class TestValidator:
    @pytest.mark.parametrize("etag", ['"a"', '"a-b:1/2"', '"W/"', '"ü"'])
    def test_a_strong_etag(self, etag: str) -> None:
        assert validator_of(headers(etag=etag)) == Validator(ValidatorKind.ETAG, etag)

    @pytest.mark.parametrize("etag", ['W/"a"', 'w/"a"', "a", '"a', '""', '"a", "b"', '"a b"', "", '"a"b"', '"a\x7f"'])
    def test_anything_else_proves_nothing(self, etag: str) -> None:
        assert validator_of(headers(etag=etag)) is None

    @pytest.mark.parametrize(
        ("modified", "date", "strong"),
        [
            ("Fri, 20 Nov 2026 11:59:00 GMT", NOON, True),
            ("Fri, 20 Nov 2026 11:59:01 GMT", NOON, False),
            (NOON, NOON, False),
            ("Fri, 20 Nov 2026 13:00:00 GMT", NOON, False),
            ("Thu, 19 Nov 2026 12:00:00 GMT", "", False),
            ("Thu, 19 Nov 2026 12:00:00 GMT", "noon", False),
            ("Thursday, 19-Nov-26 12:00:00 GMT", NOON, False),
            ("Thu, 19 Nov 2026 12:00:00 +0000", NOON, False),
            ("yesterday", NOON, False),
            ("0", NOON, False),
        ],
    )
    def test_a_date(self, modified: str, date: str, *, strong: bool) -> None:
        expected = Validator(ValidatorKind.LAST_MODIFIED, modified) if strong else None
        assert validator_of(headers(last_modified=modified, date=date)) == expected

    def test_a_strong_etag_comes_before_a_date_and_a_date_before_a_weak_one(self) -> None:
        modified = "Thu, 19 Nov 2026 12:00:00 GMT"
        strong = validator_of(headers(etag='"a"', last_modified=modified, date=NOON))
        weak = validator_of(headers(etag='W/"a"', last_modified=modified, date=NOON))
        assert [strong, weak] == [
            Validator(ValidatorKind.ETAG, '"a"'),
            Validator(ValidatorKind.LAST_MODIFIED, modified),
        ]


class TestDates:
    def test_the_one_form(self) -> None:
        assert http_date(NOON) == dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "noon",
            "Fri, 20 Nov 2026 12:00:00",
            "Sat, 20 Nov 2026 12:00:00 GMT",
            "Fri, 32 Nov 2026 12:00:00 GMT",
            "-1",
        ],
    )
    def test_no_other(self, text: str) -> None:
        assert http_date(text) is None

    @pytest.mark.parametrize(
        ("value", "date", "expected"),
        [
            ("0", NOON, 0),
            ("120", NOON, 120),
            ("Fri, 20 Nov 2026 12:02:00 GMT", NOON, 120),
            ("Fri, 20 Nov 2026 12:02:00 GMT", "", 60),  # by our own clock, a minute later
            ("Fri, 20 Nov 2026 11:00:00 GMT", NOON, 0),
            ("soon", NOON, None),
            ("-5", NOON, None),
            ("1.5", NOON, None),
            ("", NOON, None),
        ],
    )
    def test_retry_after(self, value: str, date: str, expected: float | None) -> None:
        now = dt.datetime(2026, 11, 20, 12, 1, tzinfo=dt.UTC)
        assert retry_after_seconds(headers(retry_after=value, date=date), now) == expected


class TestTypes:
    @pytest.mark.parametrize(
        ("value", "kind", "media"),
        [
            ("text/plain; charset=utf-8", "text/plain; charset=utf-8", "text/plain"),
            ("Image/PNG", "Image/PNG", "image/png"),
            ("", "application/octet-stream", ""),
            ("x/" + "y" * 300, "application/octet-stream", "x/" + "y" * 300),
        ],
    )
    def test_table(self, value: str, kind: str, media: str) -> None:
        assert (content_type(headers(content_type=value)), media_type(headers(content_type=value))) == (kind, media)

    @pytest.mark.parametrize(
        ("coding", "kind", "expected"),
        [
            ("", "text/plain", "identity"),
            ("identity", "text/plain", "identity"),
            ("GZIP", "text/plain", "gzip"),
            ("x-gzip", "text/plain", "gzip"),
            ("deflate", "text/plain", "deflate"),
            ("br", "text/plain", "br"),
            ("gzip, gzip", "text/plain", "gzip, gzip"),
            ("gzip", "application/x-gzip", "identity"),
            ("x-gzip", "application/gzip; x=y", "identity"),
        ],
    )
    def test_coding(self, coding: str, kind: str, expected: str) -> None:
        assert content_coding(headers(content_encoding=coding, content_type=kind)) == expected


class TestDigests:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"Repr-Digest": f"sha-256=:{SHA256_64}:"}, {"sha256": SHA256.hexdigest()}),
            (
                {"Repr-Digest": f"md5=:{MD5_64}:, sha-512=:AAAA:,sha-256=:{SHA256_64}:"},
                {"md5": MD5.hexdigest(), "sha256": SHA256.hexdigest()},
            ),
            ({"Digest": f"SHA-256={SHA256_64},MD5={MD5_64}"}, {"md5": MD5.hexdigest(), "sha256": SHA256.hexdigest()}),
            ({"x-goog-hash": f"crc32c=n03x6A==, md5={MD5_64}"}, {"md5": MD5.hexdigest()}),
            ({"x-goog-hash": f"md5={MD5_64}", "x-goog-stored-content-encoding": "gzip"}, {}),
            (
                {"x-amz-checksum-sha256": SHA256_64, "x-amz-checksum-type": "FULL_OBJECT"},
                {"sha256": SHA256.hexdigest()},
            ),
            ({"x-amz-checksum-sha256": SHA256_64, "x-amz-checksum-type": "COMPOSITE"}, {}),
            ({"x-amz-checksum-sha256": SHA256_64}, {}),
            ({"ETag": f'"{MD5.hexdigest()}"'}, {}),
            ({"Repr-Digest": f"sha-256=:{MD5_64}:"}, {}),
            ({"Repr-Digest": "sha-256=:not base64:"}, {}),
            ({"Repr-Digest": f"not-sha-256=:{SHA256_64}:"}, {}),
            ({}, {}),
        ],
    )
    def test_of_a_part(self, values: dict[str, str], expected: dict[str, str]) -> None:
        assert digests(CaseInsensitiveDict(values), whole=False) == expected

    def test_content_md5_is_of_the_body_alone(self) -> None:
        of_body = headers(content_md5=MD5_64)
        assert digests(of_body, whole=True) == {"md5": MD5.hexdigest()}
        assert digests(of_body, whole=False) == {}
