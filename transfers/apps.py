"""The app's registration with Django."""

from django.apps import AppConfig


class TransfersConfig(AppConfig):
    """Moving files: downloads, uploads, stored files, orders, and the engine below them."""

    name = "transfers"
