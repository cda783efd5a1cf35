"""HTTP to Django's own ASGI handler."""

from typing import cast

from django.core.asgi import get_asgi_application

from benchmarks.web_app.echo import echo
from config.edge import Application, edge

application = edge(http=cast("Application", get_asgi_application()), websocket=echo, unsized_bytes=2**20)
