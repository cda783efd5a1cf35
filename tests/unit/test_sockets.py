"""The socket's description for programs and that for people say the same, and the examples of both hold."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import yaml
from django.conf import settings
from referencing import Registry
from referencing.jsonschema import DRAFT7

from config.websockets import SOCKETS_PER_USER
from tests.service import REPOSITORY
from transfers.consumers import FILTERS, SNAPSHOT_SECONDS, UNAUTHORIZED

NAME = "urn:events"
ASYNCAPI: dict[str, Any] = yaml.safe_load((REPOSITORY / "docs" / "asyncapi.yml").read_text())
SCHEMAS: dict[str, Any] = ASYNCAPI["components"]["schemas"]
PROSE = (REPOSITORY / "docs" / "sockets.md").read_text()
FRAMES = [json.loads(line) for line in re.findall(r'^\["\w+",".*"\]$', PROSE, re.MULTILINE)]
HEARD = yaml.safe_load((REPOSITORY / "docs" / "sockets.yml").read_text())


def resolved(value: Any) -> Any:
    """The document with its references made absolute."""
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if isinstance(value, dict):
        return {
            name: NAME + inner if name == "$ref" and isinstance(inner, str) else resolved(inner)
            for name, inner in value.items()
        }
    return value


REGISTRY: Registry[Any] = Registry().with_resource(NAME, DRAFT7.create_resource(resolved(ASYNCAPI)))


def faults_of(schema: str, value: Any) -> list[str]:
    reference = {"$ref": f"{NAME}#/components/schemas/{schema}"}
    validator = jsonschema.Draft7Validator(reference, registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def faults_of_frame(name: str, body: Any) -> list[str]:
    """What is wrong about a frame, as an array and in its body."""
    return faults_of(f"{name}_frame", [name, json.dumps(body)]) + faults_of(name, body)


def test_every_example_holds() -> None:
    told = {frame[0] for frame in FRAMES}
    assert told == {name for name, _ in HEARD.values()} == set(ASYNCAPI["channels"]["events"]["messages"])
    examples = [(name, json.loads(body)) for name, body in FRAMES] + [tuple(frame) for frame in HEARD.values()]
    assert [found for name, body in examples if (found := faults_of_frame(name, body))] == []


def test_a_wrong_frame_would_be_found() -> None:
    body = json.loads(next(frame for frame in FRAMES if frame[0] == "list_job")[1])
    assert faults_of_frame("list_job", {**body, "progressCurrent": "half"})
    assert faults_of_frame("list_job", {**body, "new": 1})
    assert faults_of_frame("download_stream", body)


def test_every_field_is_told_of_in_prose() -> None:
    def fields(schema: Any) -> set[str]:
        if isinstance(schema, list):
            return set().union(*map(fields, schema))
        if not isinstance(schema, dict):
            return set()
        return set(schema.get("properties", {})) | set().union(set(), *map(fields, schema.values()))

    bodies = [schema for name, schema in SCHEMAS.items() if f"{name}_frame" in SCHEMAS]
    assert {name for name in fields(bodies) if f"`{name}`" not in PROSE} == set()


def test_both_say_what_the_code_does() -> None:
    query = ASYNCAPI["channels"]["events"]["bindings"]["ws"]["query"]["properties"]
    assert set(query) == {*FILTERS, "token"}
    assert [name for name in FILTERS if f"`{name}`" not in PROSE] == []
    assert ASYNCAPI["info"]["version"] == settings.VERSION
    for number in (SOCKETS_PER_USER, UNAUTHORIZED, round(SNAPSHOT_SECONDS)):
        assert re.search(rf"\b{number}\b", PROSE)


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, list):
            return [found for item in value for found in references(item)]
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for inner in value.values() for found in references(inner)]
        return []

    for reference in references(ASYNCAPI):
        place: Any = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
