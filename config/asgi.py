"""The one web process: HTTP to Django over WSGI, in threads, and WebSockets to Channels, behind one port.

Django's own ASGI handler reads every body to disk before the view is asked and is several times slower for plain
views (`make bench-web` measures it).
"""

from typing import Any, cast

from a2wsgi import WSGIMiddleware
from django.conf import settings

# The import sets Django up, which everything below needs.
from config.wsgi import application as django_application

# isort: split

from config.direct import lending, reading_directly
from config.edge import Application, edge
from config.health.answers import answering
from config.polling import polling
from config.sending import handing_over, sending
from config.watching import Watch
from config.websockets import routed, websocket_authentication
from transfers.routing import websocket_urlpatterns


def _bridged(wsgi: Any, threads: int) -> Application:
    return cast("Application", WSGIMiddleware(wsgi, workers=threads))


_edge = edge(
    http=polling(sending(_bridged(handing_over(cast("Any", django_application)), settings.ENVIRONMENT.web_threads))),
    bulk=lending(_bridged(reading_directly(cast("Any", django_application)), settings.ENVIRONMENT.upload_threads)),
    websocket=websocket_authentication(routed(websocket_urlpatterns)),
    unsized_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    trusted_proxies=settings.ENVIRONMENT.trusted_proxies,
)
application = Watch(answering(_edge))
