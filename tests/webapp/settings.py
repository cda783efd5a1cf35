"""The service's own settings with other paths."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.webapp.urls"
