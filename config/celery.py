"""The Celery application: work is looked for in each app's `tasks` room."""

import os

from celery import Celery
from kombu import Queue
from kombu.common import Broadcast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("carryon")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.task_queues = (Queue("transfers"), Queue("housekeeping"), Broadcast("every-worker"))
