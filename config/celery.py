"""The Celery application: work is looked for in each app's `tasks` room."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("carryon")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
