"""What the API description says of tasks, where it once said something else than the service does."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft4Validator

Described = dict[str, Any]
CID = "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo"
ME = {"id": 1, "username": "ann", "name": "ann", "first_name": "", "last_name": "", "email": "", "is_staff": False}
NEW = {"series_id": 1, "uuid": "u", "source_name": "film.mov"}
BODIES: dict[str, tuple[str, Any, bool]] = {
    "no-email": ("User", ME, True),
    "report-without-status": ("PublicUploadReportRequest", {}, False),
    "status-of-public": ("PublicUploadReportRequest", {"status": 2}, True),
    "status-of-private": ("PrivateUploadReportRequest", {"status": 2}, False),
    "status-of-download": ("DownloadTaskReportRequest", {"status": 2}, False),
    "unknown-yet": (
        "PublicUploadReportRequest",
        {"status": 1, "percent": None, "hash": "", "size": "", "ip": ""},
        True,
    ),
    "known": ("PublicUploadReportRequest", {"status": 8, "hash": CID, "size": 102400}, True),
    "less-than-nothing": ("PublicUploadReportRequest", {"status": 1, "size": -1}, False),
    "long": ("PublicUploadReportRequest", {"status": 1, "name": "n" * 501}, False),
    "control": ("NewSourceRequest", {**NEW, "uuid": "\x19"}, False),
    "blank": ("NewSourceRequest", {**NEW, "uuid": " "}, False),
    "empty": ("NewSourceRequest", {**NEW, "uuid": ""}, False),
    "number": ("NewSourceRequest", {**NEW, "uuid": 5}, False),
    "words": ("NewSourceRequest", {**NEW, "source_name": "仙剑奇侠传 (21)"}, True),
}
QUERIES: dict[str, tuple[str, Any, bool]] = {
    "series": ("series_id", 1, True),
    "no-series": ("series_id", -1, False),
    "series-empty": ("series_id", "", True),
    "too-large": ("series_id", 2**63, False),
    "status": ("status", 7, True),
    "status-of-another-kind": ("status", 1, False),
    "since-empty": ("updated_since", "", True),
}


@pytest.fixture(scope="module")
def described() -> Described:
    schema: Described = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return schema


def fits(described: Described, schema: Described, value: Any) -> bool:
    return bool(Draft4Validator({**schema, "components": described["components"]}).is_valid(value))


@pytest.mark.parametrize(("name", "value", "expected"), BODIES.values(), ids=BODIES)
def test_bodies(name: str, value: Any, expected: bool, described: Described) -> None:  # noqa: FBT001
    assert fits(described, described["components"]["schemas"][name], value) == expected


@pytest.mark.parametrize(("name", "value", "expected"), QUERIES.values(), ids=QUERIES)
def test_queries(name: str, value: Any, expected: bool, described: Described) -> None:  # noqa: FBT001
    operation = described["paths"]["/api/v1/tasks/downloads/"]["get"]
    parameter = next(parameter for parameter in operation["parameters"] if parameter["name"] == name)
    assert fits(described, parameter["schema"], value) == expected


def test_times_and_ids_and_etags_are_named_as_such(described: Described) -> None:
    operation = described["paths"]["/api/v1/tasks/upload/pbulic/{id}/"]["get"]
    told = next(parameter for parameter in operation["parameters"] if parameter["name"] == "id")
    assert told["schema"]["type"] == "integer"
    assert all("ETag" in operation["responses"][status]["headers"] for status in ("200", "304"))
    schemas = described["components"]["schemas"]
    assert schemas["PublicUploadReportRequest"]["properties"]["hash"]["anyOf"][0]["format"] == "cid"
    created = schemas["UploadTask"]["properties"]["created_at"]
    assert fits(described, created, "2018-05-06 12:00:00")
    assert not fits(described, created, "2018-05-06T12:00:00Z")
