"""Users and groups, with the forms of the admin's theme."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count
from django.http import HttpRequest
from knox.settings import CONSTANTS
from unfold.admin import ModelAdmin, StackedInline
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from transfers.admin import wording
from transfers.models import Quota
from transfers.services import stored_file as files

_DIGEST = re.compile(rf"\b([0-9a-f]{{8}})[0-9a-f]{{{CONSTANTS.DIGEST_LENGTH - 8}}}\b")

admin.site.unregister(User)
admin.site.unregister(Group)


class QuotaInline(StackedInline):
    """The user's own limit, if there is one."""

    model = Quota
    extra = 0
    verbose_name_plural = "Quota of the user's own, in place of USER_QUOTA_BYTES"


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # the theme's types do not fit
    """Who may use the service."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "last_login")
    readonly_fields = ("takes",)
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), ("Storage", {"fields": ("takes",)}))
    inlines = (QuotaInline,)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        """A user that is not there yet has none."""
        return super().get_inlines(request, obj) if obj else ()

    @display(description="takes")
    def takes(self, user: User) -> str:
        """What the user takes of the storage, of what may be taken."""
        limit, usage = files.usage(user=user)
        of = "unlimited" if limit is None else f"of {wording.exact_size(limit)}"
        return f"{wording.exact_size(usage.total)} {of}"

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What goes with a user, tokens named without their digests, or what keeps the user here: the audit does."""
        users = list(objs)
        names, counts, missing_permissions, protected = super().get_deleted_objects(users, request)
        protected = [*protected, *_audited(users)]
        if protected:  # then no permission would help, and none is asked for
            missing_permissions = set()
        return _without_digests(names), counts, missing_permissions, protected


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # as above
    """What several users may do together."""


def _audited(users: Iterable[User]) -> list[str]:
    """Words for those of the users who have done what is written down, which would go with them."""
    found = LogEntry.objects.filter(user__in=users).order_by().values_list("user__username").annotate(Count("pk"))
    return [f"{count} entries of the audit by {name}: make the user inactive instead" for name, count in found]


def _without_digests(names: Iterable[Any]) -> list[Any]:
    """The same nested lists of names with every digest cut short; only names without markup hold one."""
    return [_without_digests(name) if isinstance(name, list) else _shortened(name) for name in names]


def _shortened(name: str) -> str:
    return _DIGEST.sub(r"\1…", name) if _DIGEST.search(name) else name
