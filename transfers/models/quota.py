"""What one user may have here, where that is not what all may."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Quota(models.Model):
    """A user's own limit, in place of USER_QUOTA_BYTES."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="quota"
    )
    max_bytes = models.PositiveBigIntegerField(
        "bytes", null=True, blank=True, help_text="What the user may have here; empty is unlimited."
    )

    class Meta:
        """One for a user at most."""

        verbose_name = "quota of its own"
        verbose_name_plural = "quotas of their own"

    def __str__(self) -> str:
        return "unlimited" if self.max_bytes is None else f"{self.max_bytes} bytes"
