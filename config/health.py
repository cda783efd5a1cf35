"""Whether this process answers."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse


def livez(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - Django's form of a view
    """Say that the process lives; neither a user nor the database is asked."""
    return JsonResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
