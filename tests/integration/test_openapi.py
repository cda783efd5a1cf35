"""The API's description: whole, with examples that it allows, of this version, and read without a network."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import requests
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

import carryon
from config.openapi import BY_HAND, REFUSALS, _examples
from tests.integration.conftest import Web
from tests.service import REPOSITORY

SCHEMA: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
NAME = "urn:carryon"
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: operation
    for methods in SCHEMA["paths"].values()
    for operation in methods.values()
    if "operationId" in operation
}


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What it takes and answers, each with the name of its role."""
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        yield f"request {kind}", media
    for status, response in operation["responses"].items():
        for kind, media in response.get("content", {}).items():
            yield f"{status} {kind}", media


def is_binary(media: dict[str, Any]) -> bool:
    return bool(media["schema"].get("format") == "binary")


def values(media: dict[str, Any]) -> list[Any]:
    return [example["value"] for example in media.get("examples", {}).values()] + (
        [media["example"]] if "example" in media else []
    )


def as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0's `nullable`, in the words of JSON Schema; what is only read or written is not told apart."""
    if isinstance(value, list):
        return [as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {name: as_json_schema(inner) for name, inner in value.items() if name != "nullable"}
    if isinstance(reference := told.get("$ref"), str):
        told["$ref"] = NAME + reference
    if value.get("nullable") is True:
        return {"anyOf": [told, {"type": "null"}]}
    return told


REGISTRY: Registry[Any] = Registry().with_resource(
    NAME, DRAFT202012.create_resource({"components": as_json_schema(SCHEMA["components"])})
)


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(as_json_schema(schema), registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_request_and_answer_has_an_example(name: str) -> None:
    lacking = [role for role, media in contents(OPERATIONS[name]) if not values(media) and not is_binary(media)]
    assert lacking == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_example_is_what_the_description_allows(name: str) -> None:
    found = {
        role: wrong
        for role, media in contents(OPERATIONS[name])
        for value in values(media)
        if (wrong := faults(media["schema"], value))
    }
    assert found == {}


def test_a_wrong_example_would_be_found() -> None:
    (media,) = OPERATIONS["file_detail"]["responses"]["200"]["content"].values()
    (value,) = values(media)[:1]
    assert faults(media["schema"], {**value, "size": "much"})
    assert faults(media["schema"], {name: told for name, told in value.items() if name != "name"})


def test_no_example_is_of_an_operation_that_is_gone() -> None:
    assert set(_examples()) | set(BY_HAND) <= set(OPERATIONS)


def test_every_refusal_that_is_described_has_words() -> None:
    statuses = {int(status) for operation in OPERATIONS.values() for status in operation["responses"]}
    assert {status for status in statuses if status >= 400} <= set(REFUSALS)


def test_versions_are_one() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert SCHEMA["info"]["version"] == settings.VERSION == carryon.VERSION == project


def test_the_page_needs_no_other_host(web: Web) -> None:
    page = requests.get(f"{web.url}/api/docs/", timeout=30).text
    addresses = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", page)
    assert addresses
    assert [address for address in addresses if not address.startswith("/")] == []
    for address in addresses:
        assert requests.get(web.url + address, timeout=30).ok, address
