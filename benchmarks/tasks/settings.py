"""The service's own settings, with the bare views beside its paths."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.tasks.urls"
