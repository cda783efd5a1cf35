"""The admin as somebody in front of it has it: pages, buttons, bulk actions, and what is said afterwards."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.messages import get_messages
from django.db.models import Model
from django.test import Client


def list_of(model: Model | type[Model]) -> str:
    """The address of the list that such rows stand in."""
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def page_of(row: Model) -> str:
    """The address of the row's page."""
    return f"{list_of(row)}{row.pk}/change/"


def press(client: Client, row: Model, name: str, **sent: Any) -> Any:
    """Press the button of an operation on the row's page."""
    return client.post(f"{list_of(row)}{row.pk}/operate/{name}/", sent)


def choose(client: Client, path: str, name: str, *rows: Model, **sent: Any) -> Any:
    """Choose a bulk action for these rows; what more is sent answers its question."""
    return client.post(path, {"action": name, "_selected_action": [str(row.pk) for row in rows], **sent})


def operate(client: Client, row: Model, name: str) -> list[str]:
    """Press a button which leads back to the page, and give what is told then."""
    response = press(client, row, name)
    assert (response.status_code, response["Location"]) == (302, page_of(row))
    return told(response)


def act(client: Client, path: str, name: str, *rows: Model) -> list[str]:
    """Run a bulk action that asks nothing, and give what is told then."""
    return told(choose(client, path, name, *rows))


def told(response: Any) -> list[str]:
    """What the next page says, which is told only once."""
    assert response.status_code == 302, response.content
    response.client.get("/admin/")
    return [str(message) for message in get_messages(response.wsgi_request)]


def text(response: Any) -> str:
    """The page's HTML."""
    assert response.status_code == 200
    content: str = response.content.decode()
    return content


def words(html: str) -> str:
    """What a person reads of the page."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())
