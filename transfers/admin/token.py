"""API tokens: who has one, until when; they are made by `manage.py create_token` and revoked here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils import timezone
from knox.models import AuthToken
from unfold.decorators import display

from transfers import audit
from transfers.admin import wording
from transfers.admin.read_only import ReadOnlyAdmin

admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(ReadOnlyAdmin):
    """A list without pages of its own: a token's page would have its digest for an address."""

    list_display = ["beginning", "user", "validity", "made", "expires"]
    list_display_links = None
    list_select_related = ["user"]
    list_before_template = "transfers/admin/token_list_head.html"  # type: ignore[assignment]  # the theme has no types
    search_fields = ["^token_key", "user__username"]
    search_help_text = "The beginning of a token, or a user's name."
    show_full_result_count = False
    ordering = ["-created"]

    def get_urls(self) -> list[URLPattern]:
        """The list, and nothing else."""
        return [pattern for pattern in super().get_urls() if (pattern.name or "").endswith("_changelist")]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tokens are revoked by those who may delete them."""
        return super(ReadOnlyAdmin, self).has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Deleting a token is revoking it, and called so."""
        actions = super().get_actions(request)
        return {name: (action[0], name, "Revoke selected tokens") for name, action in actions.items() if action}

    def get_deleted_objects(
        self, objs: Iterable[AuthToken], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What a revocation is asked to be confirmed for."""
        names = [audit.name_of(token) for token in objs]
        missing = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return names, {str(self.opts.verbose_name_plural): len(names)}, missing, []

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[AuthToken]) -> list[LogEntry]:
        """Write down who revoked what."""
        for token in queryset.select_related("user"):
            audit.record(by=request.user, row=token, what="Revoked.", flag=audit.DELETION)
        return []

    @display(description="token", ordering="token_key")
    def beginning(self, token: AuthToken) -> str:
        """The token's first characters."""
        return f"{token.token_key[: audit.SHOWN_CHARACTERS]}…"

    @display(description="state", label={"valid": "success", "expired": "danger", "user inactive": "warning"})
    def validity(self, token: AuthToken) -> str:
        """Whether it opens anything."""
        if token.expiry is not None and token.expiry <= timezone.now():
            return "expired"
        return "valid" if token.user.is_active else "user inactive"

    @display(description="created (UTC)", ordering="created")
    def made(self, token: AuthToken) -> str:
        """When it was made."""
        return wording.moment(token.created)

    @display(description="expires (UTC)", ordering="expiry")
    def expires(self, token: AuthToken) -> str:
        """When it stops being taken."""
        return wording.moment(token.expiry) if token.expiry else "never"
