"""The service's own settings, middleware and database, without its apps."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in ("transfers", "tasks_api", "sync")]
ROOT_URLCONF = "benchmarks.web_app.urls"
