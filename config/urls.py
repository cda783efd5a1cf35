"""Where every path leads; each takes a trailing slash or none. `/livez` is the edge's."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from config.dashboard.page import live


@csrf_exempt
def with_slash(request: HttpRequest, path: str) -> HttpResponseRedirect:
    """Send a browser on to the admin's own form of a path, with its method and query."""
    query = request.META["QUERY_STRING"]
    return HttpResponseRedirect(f"/{path}/{'?' + query if query else ''}", preserve_request=True)


urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/admin/")),
    re_path(r"^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^api/docs/?$", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"^(?P<path>admin(?:/.*[^/])?)$", with_slash),
    path("admin/dashboard/live/", admin.site.admin_view(live), name="dashboard-live"),
    path("admin/", admin.site.urls),
    path("", include("sync.urls")),
    path("", include("tasks_api.urls")),
    path("", include("transfers.urls")),
]

handler400 = "config.exception_handler.bad_request"
handler403 = "config.exception_handler.forbidden"
handler404 = "config.exception_handler.not_found"
handler500 = "config.exception_handler.server_error"
