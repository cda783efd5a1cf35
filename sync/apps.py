"""The app's registration with Django."""

from django.apps import AppConfig


class SyncConfig(AppConfig):
    """Case sync: a case's folder and the cloud kept the same."""

    name = "sync"
