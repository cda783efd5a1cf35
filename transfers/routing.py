"""The sockets of transfers."""

from django.urls import re_path

from transfers.consumers import EventsConsumer

websocket_urlpatterns = [re_path(r"^ws/events/?$", EventsConsumer.as_asgi())]  # type: ignore[no-untyped-call]
