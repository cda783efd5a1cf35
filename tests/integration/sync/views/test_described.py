"""What the API description says of sync is what the service takes and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft4Validator, FormatChecker
from pytest_django.fixtures import Settings

from sync.plan import Action, Direction, Stage, Verb, shown
from sync.serializers.case import CaseRequestSerializer
from sync.serializers.sync import ACTIONS, SyncRequestSerializer
from tests.integration.sync.rows import REGION, client_of, new_case, new_failures, new_job, new_plan
from tests.integration.transfers.rows import new_user, use

pytestmark = pytest.mark.django_db

Described = dict[str, Any]
SYNC, JOB, STOP = (f"/api/file/raylinksync/{rest}" for rest in ("", "{job_id}/", "{job_id}/stop/"))
CASES, CASE = "/api/cases/", "/api/cases/{case_id}/"
OPERATIONS = [(SYNC, "post"), (JOB, "get"), (STOP, "post"), (CASES, "get"), (CASES, "post"), (CASE, "get")]
NOBODYS = "00000000-0000-0000-0000-000000000000"
PAYLOAD: dict[str, Any] = {
    "up": True,
    "apiUrl": "http://localhost:8008/api",
    "source": "x",
    "projectname": "case",
    "pid": "P-0001",
    "projecttype": "TEST-PROJECT",
    "s3keypath": "userdata/case",
    "ownerGroupId": "group",
    "labId": "lab",
    "region": REGION,
}


@pytest.fixture(scope="module")
def described() -> Described:
    schema: Described = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return schema


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Client:
    return client_of(ann)


def plain(schema: Any) -> Any:
    """The schema as JSON Schema has it, which does not know `nullable`."""
    if isinstance(schema, list):
        return [plain(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {name: plain(inner) for name, inner in schema.items() if name != "nullable"}
    return {"anyOf": [whole, {"enum": [None]}]} if schema.get("nullable") is True else whole


def faults(described: Described, schema: Any, value: Any) -> list[str]:
    """Where the value is not as the schema has it."""
    whole = {**plain(schema), "components": plain(described["components"])}
    found = Draft4Validator(whole, format_checker=FormatChecker()).iter_errors(value)
    return [f"{list(fault.absolute_path)}: {fault.message[:200]}" for fault in found]


def schema_of(described: Described, path: str, method: str, status: int) -> Any:
    [content] = described["paths"][path][method]["responses"][str(status)]["content"].values()
    return content["schema"]


def holds(described: Described, path: str, method: str, answer: Any) -> None:
    """The answer is one of those that are described."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    schema = schema_of(described, path, method, answer.status_code)
    assert faults(described, schema, json.loads(body)) == [], body[:500]


def post(api: Client, path: str, body: object) -> Any:
    return api.post(path, json.dumps(body), content_type="application/json")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_example_is_as_described(described: Described, path: str, method: str) -> None:
    operation = described["paths"][path][method]
    told = [operation.get("requestBody", {"content": {}}), *operation["responses"].values()]
    contents = [content for each in told for content in each.get("content", {}).values()]
    examples = [
        (content["schema"], each["value"]) for content in contents for each in content.get("examples", {}).values()
    ]
    assert examples
    for schema, value in examples:
        assert faults(described, schema, value) == []


def test_the_sources_examples_are_there_and_taken(described: Described) -> None:
    examples = described["paths"][SYNC]["post"]["requestBody"]["content"]["application/json"]["examples"]
    values = [example["value"] for example in examples.values()]
    assert [(value["up"], "_id" in value) for value in values] == [(True, False), (True, True), (False, True)]
    for value in values:
        serializer = SyncRequestSerializer(data=value)
        assert serializer.is_valid(), serializer.errors
        assert serializer.save().case.s3keypath == value["s3keypath"]


def test_every_example_of_a_case_is_taken(described: Described) -> None:
    examples = described["paths"][CASES]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert CaseRequestSerializer(data=example["value"]).is_valid()


def test_answers_about_syncs_are_as_described(
    described: Described, api: Client, ann: User, settings: Settings, tmp_path: Path
) -> None:
    source = tmp_path.resolve() / "sources/case"
    source.mkdir(parents=True)
    use(settings, sync_source_roots=[source.parent], sync_save_path=tmp_path / "cases")
    whole = {**PAYLOAD, "source": str(source)}
    for body in (whole, whole, {}, {**whole, "region": ".."}, {**whole, "up": False, "projectname": "none"}):
        holds(described, SYNC, "post", post(api, SYNC, body))
    holds(described, SYNC, "post", post(Client(), SYNC, whole))
    holds(described, SYNC, "post", api.post(SYNC, "a=b", content_type="application/x-www-form-urlencoded"))
    holds(described, SYNC, "post", api.post(SYNC, b"[" * 2**21, content_type="application/json"))
    states = ["queued", "running", "stopped", "completed", "completed_with_failures", "failed"]
    jobs = [new_job(new_case(ann), state=state) for state in states]
    jobs.append(new_job(new_case(ann, uuid=None), state="failed", error_code="x", error="why", current_files=["a"]))
    jobs.append(new_job(new_case(ann), state="completed", dry_run=True))
    for job in jobs:
        new_failures(job, 2)
    new_plan(jobs[-1], 3)
    for job in jobs:
        holds(described, JOB, "get", api.get(f"{SYNC}{job.pk}/"))
        holds(described, STOP, "post", post(api, f"{SYNC}{job.pk}/stop/", {}))
    holds(described, JOB, "get", api.get(f"{SYNC}{NOBODYS}/"))
    holds(described, JOB, "get", api.get(f"{SYNC}{NOBODYS}/", headers={"Accept": "text/html"}))
    holds(described, STOP, "post", post(api, f"{SYNC}{NOBODYS}/stop/", {}))


def test_answers_about_cases_are_as_described(described: Described, api: Client, ann: User) -> None:
    new_case(ann, uuid=None)
    made = post(api, CASES, PAYLOAD)
    assert made.status_code == 201
    holds(described, CASES, "post", made)
    for body in (PAYLOAD, {}, {**PAYLOAD, "s3keypath": "other"}):
        holds(described, CASES, "post", post(api, CASES, body))
    holds(described, CASES, "get", api.get(CASES))
    holds(described, CASES, "get", api.get(f"{CASES}?page=9"))
    holds(described, CASES, "get", api.get(f"{CASES}?page_size=501"))
    holds(described, CASE, "get", api.get(f"{CASES}{made.json()['_id']}/"))
    holds(described, CASE, "get", api.get(f"{CASES}{NOBODYS}/"))


BODIES: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({}, True),
    "id": ({"_id": NOBODYS}, True),
    "no-id": ({"_id": None}, True),
    "empty-id": ({"_id": ""}, True),
    "bad-id": ({"_id": "x"}, False),
    "id-number": ({"_id": 5}, False),
    "switches": ({"delete": True, "dryRun": False}, True),
    "switch-in-words": ({"dryRun": "true"}, False),
    "no-up": ({"up": None}, False),
    "blank": ({"pid": "  "}, False),
    "control": ({"pid": "a\x19"}, False),
    "line-separator": ({"pid": "a\u2028b"}, False),
    "long": ({"pid": "p" * 129}, False),
    "longest": ({"pid": "p" * 128}, True),
    "number": ({"pid": 5}, False),
    "slashes": ({"s3keypath": "//"}, False),
    "slashes-around": ({"s3keypath": "/a/b/"}, True),
    "unicode": ({"projectname": "환자 가"}, True),
    "more": ({"x": [1]}, True),
}


@pytest.mark.parametrize(("words", "is_taken"), BODIES.values(), ids=BODIES)
def test_what_is_taken_is_what_is_described(described: Described, words: dict[str, Any], *, is_taken: bool) -> None:
    body = {**PAYLOAD, **words}
    for path, serializer in ((SYNC, SyncRequestSerializer), (CASES, CaseRequestSerializer)):
        if path == CASES and {"up", "dryRun", "delete"} & set(words):
            continue
        schema = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert (faults(described, schema, body) == []) == is_taken
        assert serializer(data=body).is_valid() == is_taken


def test_the_header_with_the_fields_is_described(described: Described) -> None:
    assert "X-Errors" in described["paths"][SYNC]["post"]["responses"]["400"]["headers"]


def test_every_action_that_a_plan_can_show_is_described() -> None:
    actions = [Action(verb, "a", 0, "", Stage.BRING, None, None, None) for verb in Verb]
    names = {told["action"] for action in actions for way in Direction if (told := shown(action, way))}
    assert names == set(ACTIONS)
