"""The Celery application: work is looked for in each app's `tasks` room."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun
from django.db import close_old_connections
from kombu import Queue
from kombu.common import Broadcast

from transfers import doorbell

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("carryon")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.task_queues = (*map(Queue, doorbell.QUEUES), Broadcast(doorbell.EVERY_WORKER))
# Celery would open every thread's database connection anew for each task; a task of a small file spends a fifth of
# its time on that. Django's own rules, asked before each task, say when one is too old or broken.
app.conf["CELERY_DB_REUSE_MAX"] = 10**9


@task_prerun.connect
def _check_connections(**_: Any) -> None:
    close_old_connections()
