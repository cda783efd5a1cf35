"""Cases, what was the same on both sides of them, and the jobs that make it so."""

from sync.models.batch import Batch
from sync.models.case import Case
from sync.models.failure import Failure
from sync.models.job import Job
from sync.models.manifest_entry import ManifestEntry

__all__ = ["Batch", "Case", "Failure", "Job", "ManifestEntry"]
