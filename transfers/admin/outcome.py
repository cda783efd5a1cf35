"""What became of the rows that something was to be done with, told on the next page."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest
from unfold.admin import ModelAdmin

TOLD = 10
"""Rows of one action that are told of one by one; more are counted."""


def tell(
    admin: ModelAdmin, request: HttpRequest, what: str, *, plural: str, done: Sequence[str], refused: Sequence[str]
) -> None:
    """Tell whom it was done with, `what` being the past tense of it, and each refusal in its own words."""
    if done:
        named = ", ".join(done) if len(done) <= TOLD else f"{len(done)} {plural}"
        admin.message_user(request, f"{what}: {named}.", messages.SUCCESS)
    for told in refused[:TOLD]:
        admin.message_user(request, told, messages.WARNING)
    if rest := refused[TOLD:]:
        admin.message_user(request, f"And {len(rest)} more could not be acted upon.", messages.WARNING)
