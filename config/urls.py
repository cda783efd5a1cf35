"""Where every path leads; each takes a trailing slash or none."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
