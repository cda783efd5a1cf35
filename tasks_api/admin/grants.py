"""Who may download a source: a table on the source's page, and a question for several sources at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from tasks_api.models import Grant, Source
from tasks_api.models.source import MAX_ID
from tasks_api.services import download as downloads
from transfers.admin import wording
from transfers.admin.outcome import Deed, RefusedError, carry_out

MOST = 200
"""Sources that may be granted or revoked at once."""
TOLD = 10
"""Sources that the question names; more are counted."""
ANSWERED = "post"
"""The field that says that the question was answered."""


@dataclass(frozen=True, slots=True)
class Granting:
    """What may be done to the grants of sources, and the words that it takes."""

    action: str
    verb: str
    title: str
    done: str
    consequence: str
    act: Callable[[Source, User, User], str | None]
    """Has the service do it to the source for the first user, by the second; why not, or None."""


def _grant(source: Source, user: User, by: User) -> str | None:
    if user.pk == source.owner_id:
        return f"{user} owns it, and needs no grant."
    downloads.grant(source=source, user=user, granted_by=by)
    return None


def _revoke(source: Source, user: User, by: User) -> str | None:  # noqa: ARG001 - the history says who it was
    return None if downloads.revoke(source=source, user=user) else f"{user} has no grant."


GRANT = Granting(
    *("grant", "Grant", "Grant sources to a user", "Granted to"),
    consequence="Who may download these besides their owners and staff?",
    act=_grant,
)
REVOKE = Granting(
    *("revoke", "Revoke", "Revoke sources from a user", "Revoked from"),
    consequence="Who may not download these any more? What the user is downloading of them stays where it is.",
    act=_revoke,
)


class _UserSelect(AutocompleteSelect):
    """Django's own, which fails where it is to show again what cannot be an id."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """The options that are chosen."""
        return super().optgroups(name, [one for one in value if _is_id(one)], attr)


class _UserForm(forms.Form):
    """Whom it is about."""

    user = forms.ModelChoiceField(User.objects.order_by("username"))

    def __init__(self, *args: Any, site: admin.AdminSite, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("Any", self.fields["user"])
        field.widget = _UserSelect(Grant._meta.get_field("user"), site, choices=field.choices)


def answered(
    admin: ModelAdmin, request: HttpRequest, rows: QuerySet[Source], granting: Granting
) -> TemplateResponse | None:
    """Ask for the user first; once that was answered, do it and tell what became of each."""
    found = list(rows.select_related("owner")[: MOST + 1])
    if len(found) > MOST:
        admin.message_user(request, f"At most {MOST} sources at once.", messages.WARNING)
        return None
    form = _UserForm(request.POST if ANSWERED in request.POST else None, site=admin.admin_site)
    if not form.is_valid():
        return _question(admin, request, found, granting, form)
    _apply(admin, request, found, granting, form.cleaned_data["user"])
    return None


def _question(
    admin: ModelAdmin, request: HttpRequest, rows: list[Source], granting: Granting, form: _UserForm
) -> TemplateResponse:
    context = {
        **admin.admin_site.each_context(request),
        "title": granting.title,
        "opts": admin.opts,
        "media": admin.media + form.media,
        "granting": granting,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "rows": rows,
        "named": rows[:TOLD],
        "unnamed": len(rows[TOLD:]),
        "form": form,
    }
    return TemplateResponse(request, "tasks_api/admin/grant_question.html", context)


def _apply(admin: ModelAdmin, request: HttpRequest, rows: list[Source], granting: Granting, user: User) -> None:
    def act(source: Source) -> None:
        if refusal := granting.act(source, user, cast("User", request.user)):
            raise RefusedError(refusal)

    deed = Deed(
        label=f"{granting.verb}, {user}",
        done=f"{granting.done} {user}",
        plural="sources",
        act=act,
        named=lambda source: str(source.name),
    )
    carry_out(admin, request, rows, deed)


class GrantInline(TabularInline):
    """The source's grants: added and taken away, never changed."""

    model = Grant
    fields = ["user", "granted_by", "granted"]
    readonly_fields = ["granted_by", "granted"]
    hide_title = True
    extra = 0
    per_page = 50  # type: ignore[assignment]  # the theme has no types
    verbose_name = "grant"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Grant]:
        """All, with their users."""
        rows: QuerySet[Grant] = super().get_queryset(request)
        return rows.select_related("user", "granted_by", "source")

    @display(description="granted (UTC)")
    def granted(self, grant: Grant) -> str:
        """Since when the user may."""
        return wording.moment(grant.created_at if grant.pk else None)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """A user is searched for."""
        if db_field.name == "user":
            options["widget"] = _UserSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """A grant says what it says, or is no more."""
        return False


def _is_id(value: Any) -> bool:
    text = str(value)
    return text.isascii() and text.isdigit() and int(text) <= MAX_ID


def save(request: HttpRequest, source: Source, formset: Any) -> None:
    """Have the services do what the table on the source's page asks for."""
    formset.save(commit=False)  # only sorts them, which the history is written from
    for grant in formset.deleted_objects:
        downloads.revoke(source=source, user=grant.user)
    for grant in formset.new_objects:
        downloads.grant(source=source, user=grant.user, granted_by=cast("User", request.user))
