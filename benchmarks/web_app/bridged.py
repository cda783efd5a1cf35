"""HTTP to Django over WSGI, as the service does it."""

from typing import Any, cast

from a2wsgi import WSGIMiddleware
from django.core.wsgi import get_wsgi_application

from benchmarks.web_app.echo import echo
from config.edge import Application, edge

_bridge = WSGIMiddleware(cast("Any", get_wsgi_application()), workers=32)
application = edge(http=cast("Application", _bridge), websocket=echo, unsized_bytes=2**20)
