"""The admin of cases: what is synced where, how far it is, and what could not be brought."""

from sync.admin.case import CaseAdmin
from sync.admin.job import JobAdmin

__all__ = ["CaseAdmin", "JobAdmin"]
