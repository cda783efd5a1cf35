"""The app's registration with Django."""

from django.apps import AppConfig


class SyncConfig(AppConfig):
    """Case sync: a patient's folder kept the same here and in the cloud."""

    name = "sync"
    verbose_name = "case sync"

    def ready(self) -> None:
        """Have listeners told where jobs stand."""
        from sync.services import job as jobs  # noqa: PLC0415 - models are there only now
        from transfers import progress  # noqa: PLC0415 - as above

        progress.tell_also(jobs.snapshot)
