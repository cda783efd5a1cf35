"""What the API description says of tasks, where it once said something else than the service does."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft4Validator

from tasks_api import wording

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


LISTS: dict[str, tuple[str, list[int], int]] = {
    "public": ("/api/v1/tasks/upload/pbulic/", [0, 1, 2, 3, 8, 9], 50),
    "private": ("/api/v1/tasks/upload/private/", [0, 3, 8, 9], 1000),
    "download": ("/api/v1/tasks/downloads/", [0, 4, 5, 6, 7, 8, 9], 50),
}


@pytest.mark.parametrize(("path", "codes", "page_size"), LISTS.values(), ids=LISTS)
def test_the_example_of_a_list_has_the_choices_of_its_kind(
    path: str, codes: list[int], page_size: int, described: Described
) -> None:
    answer = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    [example] = answer["examples"].values()
    meta = example["value"]["meta"]
    assert meta["status_choices"] == [{"code": code, "name": wording.STATUS_NAMES[code][0]} for code in codes]
    assert meta["page_size"] == page_size
    assert fits(described, answer["schema"], example["value"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("public", ["to staff everybody's", "`updated_since`", "50 rows", "up to 200"]),
        ("private", ["without `status`, those at 8 are left out", "`updated_since`", "1,000 rows", "up to 200"]),
        ("download", ["to staff everybody's", "private block or its grant", "`updated_since`", "50 rows", "up to 200"]),
    ],
)
def test_each_list_says_what_it_has_and_in_which_order(name: str, said: list[str], described: Described) -> None:
    text = described["paths"][LISTS[name][0]]["get"]["description"]
    assert [part for part in said if part not in text] == []


def test_every_answer_has_an_example(described: Described) -> None:
    for path, operations in described["paths"].items():
        if path.startswith("/api/v1/"):
            for operation in operations.values():
                answer = operation["responses"]["200"]["content"]["application/json"]
                [example] = answer["examples"].values()
                assert fits(described, answer["schema"], example["value"])


def test_every_failure_is_described_exactly(described: Described) -> None:
    failure = described["components"]["schemas"]["TaskFailure"]
    told = {"message": "m", "errors": {"status": ["s"]}}
    assert fits(described, failure, {**told, "data": None})
    assert not any(fits(described, failure, {**told, "data": data}) for data in ({}, "", [], 0, {"id": 1}))
    for path, operations in described["paths"].items():
        if path.startswith("/api/v1/"):
            for operation in operations.values():
                assert set(operation["responses"]["503"]["headers"]) == {"Retry-After"}
