"""The project: settings, entry points, and what every app's requests pass through."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
