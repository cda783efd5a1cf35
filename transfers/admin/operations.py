"""What operators may have done with rows, by a button or for several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from transfers.admin.outcome import Deed, carry_out, nothing
from transfers.admin.read_only import ReadOnlyAdmin


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that an operator may have done with a row."""

    name: str
    label: str
    done: str
    """The past tense of it."""
    icon: str
    is_offered: Callable[[Any], bool]
    act: Callable[[Any, User], object]
    """Has the service do it, by this user; CarryonError when that refuses."""
    before: Callable[[Any], object] = nothing
    """As of a Deed."""


class OperatedAdmin(ReadOnlyAdmin):
    """Rows that only the services write, with buttons and actions that ask them to."""

    operations: ClassVar[tuple[Operation, ...]] = ()

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and where the buttons lead."""
        view = self.admin_site.admin_view(self.operate_view)
        operate = path("<slug:pk>/operate/<slug:name>/", view, name=f"{self._named}_operate")
        return [operate, *super().get_urls()]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Those who may change such rows may have something done with them."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def offered(self, request: HttpRequest, row: Any) -> list[tuple[Operation, str]]:
        """The row's buttons, with where they lead."""
        known = self.operations if self.has_operate_permission(request) else ()
        return [
            (operation, reverse(f"admin:{self._named}_operate", args=[row.pk, operation.name]))
            for operation in known
            if operation.is_offered(row)
        ]

    def operate_view(self, request: HttpRequest, pk: str, name: str) -> HttpResponse:
        """What a button on the page does: acts on POST, and always leads back to the page."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        row = self.get_object(request, pk)
        if row is None or name not in {operation.name for operation in self.operations}:
            raise Http404
        if request.method == "POST":
            self.operate(request, [row], name)
        query = request.META["QUERY_STRING"]
        page = reverse(f"admin:{self._named}_change", args=[pk])
        return HttpResponseRedirect(f"{page}?{query}" if query else page)

    def operate(self, request: HttpRequest, rows: Iterable[Any] | QuerySet[Any], name: str) -> None:
        """Try it on each, write down who did what, and tell what became of each; no patient is named in either."""
        operation = next(operation for operation in self.operations if operation.name == name)

        def act(row: Any) -> None:
            operation.act(row, cast("User", request.user))

        plural = str(self.opts.verbose_name_plural)
        deed = Deed(label=operation.label, done=operation.done, plural=plural, act=act, before=operation.before)
        carry_out(self, request, rows, deed)

    @property
    def _named(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"
