"""What the project itself answers, without a server; no test here may touch the database."""

from __future__ import annotations

import pytest
from django.test import Client


def test_the_bare_address_leads_to_the_admin(client: Client) -> None:
    response = client.get("/")

    assert (response.status_code, response["Location"]) == (302, "/admin/")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/admin", "/admin/"),
        ("/admin?a=1&b=2", "/admin/?a=1&b=2"),
        ("/admin/login", "/admin/login/"),
        ("/admin//evil.example", "/admin//evil.example/"),
    ],
)
def test_the_admin_without_its_slash_is_led_to_it(path: str, location: str, client: Client) -> None:
    response = client.post(path)

    assert response.status_code == 307
    assert response["Location"] == location


def test_a_path_that_only_begins_like_the_admin_is_no_page(client: Client) -> None:
    response = client.get("/administration")

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/schema", "/api/schema/", "/api/docs", "/api/docs/"])
def test_the_api_describes_itself_to_anybody(path: str, client: Client) -> None:
    assert client.get(path).status_code == 200
