"""The app's registration with Django."""

from django.apps import AppConfig


class TasksApiConfig(AppConfig):
    """The IPFS task backend: the state of uploads and downloads that desktop clients carry out."""

    name = "tasks_api"
    verbose_name = "tasks on IPFS"
