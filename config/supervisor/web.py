"""What the supervisor's web process serves: the application, as soon as the database is prepared."""

from config.asgi import application
from config.supervisor import gate

__all__ = ["application"]

gate.wait_until_open()
