"""Whom a request stands for; what a browser and a real server do to headers is tested in `tests/integration`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.urls import path
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from knox.models import AuthToken
from pytest_django import DjangoAssertNumQueries
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.authentication import live_token, presented_token


class WhoView(APIView):
    def get(self, request: Request) -> Response:
        return Response(request.user.get_username())

    post = get


@pytest.fixture
def token(db: None) -> str:
    user = User.objects.create_user("ann")
    text: str = AuthToken.objects.create(user)[1]  # type: ignore[no-untyped-call]
    return text


def ask(method: str = "GET", **headers: str) -> Response:
    response = WhoView.as_view()(RequestFactory().generic(method, "/", headers=headers))
    assert isinstance(response, Response)
    return response


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, None),
        ({"authorization": "Token abc"}, "abc"),
        ({"authorization": "bearer abc"}, "abc"),
        ({"authorization": "TOKEN   abc "}, "abc"),
        ({"authorization": "Token"}, ""),
        ({"authorization": "Basic abc"}, None),
        ({"authorization": "Basic abc", "token": "def"}, "def"),
        ({"x-access-token": "abc"}, "abc"),
        ({"token": " abc "}, "abc"),
        ({"http-token": "abc"}, "abc"),
        ({"token": ""}, None),
        ({"token": "", "http-token": "abc"}, "abc"),
        ({"authorization": "Token abc", "token": "def"}, "abc"),
        ({"x-access-token": "abc", "token": "def"}, "abc"),
    ],
)
def test_where_a_token_is_found(headers: Mapping[str, str], token: str | None) -> None:
    assert presented_token(headers) == token


def test_a_token_costs_one_query(token: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        assert ask(authorization=f"Token {token}").data == "ann"


def test_one_of_several_tokens_may_be_revoked(token: str) -> None:
    other = AuthToken.objects.create(User.objects.get())[1]  # type: ignore[no-untyped-call]
    live_token(token).delete()

    assert ask(token=token).status_code == 401
    assert ask(token=other).status_code == 200


@pytest.mark.parametrize(("life", "status"), [(timedelta(seconds=-1), 401), (timedelta(minutes=1), 200), (None, 200)])
def test_a_token_opens_until_it_expires(life: timedelta | None, status: int, token: str) -> None:
    AuthToken.objects.update(expiry=timezone.now() + life if life else None)

    assert ask(token=token).status_code == status


def test_a_user_who_is_not_active_is_nobody(token: str) -> None:
    User.objects.update(is_active=False)

    assert ask(token=token).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Token "},
        {"authorization": "Bearer nonsense"},
        {"authorization": "Token a b"},
        {"token": "\xff"},
        {"cookie": "X-Access-Token=nonsense"},
        {"cookie": "sessionid=nonsense"},
    ],
)
@pytest.mark.django_db
def test_nobody_is_answered_401_with_a_challenge(headers: dict[str, str]) -> None:
    response = ask(**headers)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="carryon"'


def test_a_bad_token_is_refused_though_a_good_cookie_comes_with_it(token: str) -> None:
    assert ask(token="nonsense", cookie=f"X-Access-Token={token}").status_code == 401


def test_a_stored_token_does_not_open_by_its_hash(token: str) -> None:
    assert ask(token=AuthToken.objects.get().digest).status_code == 401


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://testserver"}, 200),
        ({"origin": "http://evil.example"}, 403),
    ],
)
def test_the_cookie_counts_on_this_site_only(headers: dict[str, str], status: int, method: str, token: str) -> None:
    assert ask(method, cookie=f"X-Access-Token={token}", **headers).status_code == status


def test_a_header_counts_on_every_site(token: str) -> None:
    headers = {"sec-fetch-site": "cross-site", "origin": "http://evil.example", "cookie": f"X-Access-Token={token}"}

    assert ask(authorization=f"Bearer {token}", **headers).status_code == 200


def test_the_api_description_names_every_form() -> None:
    generator = SchemaGenerator(patterns=[path("who", WhoView.as_view())])  # type: ignore[no-untyped-call]

    schemes = generator.get_schema(public=True)["components"]["securitySchemes"]  # type: ignore[no-untyped-call]

    assert {(scheme.get("in"), scheme.get("name", scheme.get("scheme"))) for scheme in schemes.values()} == {
        (None, "bearer"),
        ("header", "X-Access-Token"),
        ("header", "Token"),
        ("header", "HTTP_TOKEN"),
        ("cookie", "X-Access-Token"),
        ("cookie", "sessionid"),
    }
