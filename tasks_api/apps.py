"""The app's registration with Django."""

from __future__ import annotations

from functools import partial

from django.apps import AppConfig
from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from tasks_api import polls


class TasksApiConfig(AppConfig):
    """The IPFS task backend: the state of uploads and downloads that desktop clients carry out."""

    name = "tasks_api"
    verbose_name = "tasks on IPFS"

    def ready(self) -> None:
        """Listen to what becomes of users and their tokens, which others write: polls are answered without asking."""
        for signal in (post_save, post_delete):
            for model in (settings.AUTH_USER_MODEL, "knox.AuthToken"):
                signal.connect(_renew_people, model)


def _renew_people(*, created: bool = False, update_fields: frozenset[str] | None = None, **_: object) -> None:
    """Let no answer stand that was made of users and tokens as they were, once the change is committed.

    Whoever is new was in no answer, and when somebody last logged in is in none.
    """
    if created or update_fields == frozenset({"last_login"}):
        return
    transaction.on_commit(partial(polls.changed, [polls.PEOPLE]))
