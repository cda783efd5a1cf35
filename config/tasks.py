"""What beat has forgotten of who came and who did what: what no longer opens anything, and the audit log's past."""

from __future__ import annotations

from axes.models import AccessAttempt
from celery import shared_task
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from knox.models import AuthToken

from transfers.history import before, forget

MINUTES_A_DAY = 24 * 60


@shared_task(name="config.forget")
def forget_history() -> None:
    """Forget sessions and wrong passwords that are over, and, as the settings say, expired tokens and the audit log."""
    environment = settings.ENVIRONMENT
    forget(Session.objects.filter(**before("expire_date", 0)), "sessions")
    lockout_days = environment.login_lockout_minutes / MINUTES_A_DAY
    forget(AccessAttempt.objects.filter(**before("attempt_time", lockout_days)), "wrong passwords")
    if days := environment.token_history_days:
        forget(AuthToken.objects.filter(**before("expiry", days)), "expired tokens")
    if days := environment.audit_log_days:
        forget(LogEntry.objects.filter(**before("action_time", days)), "audit log entries")
