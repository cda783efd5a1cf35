"""Orders: what a user has ordered, as it was then."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q


class FailureCode(models.TextChoices):
    """Why a file is not in the zip (the contract's codes)."""

    NOT_FOUND = "NOT_FOUND"
    UNAUTHORIZED = "UNAUTHORIZED"
    DUPLICATE = "DUPLICATE"
    EXCEEDS_SIZE_LIMIT = "EXCEEDS_SIZE_LIMIT"
    UNKNOWN_ERROR = "UNKNOWN_ERROR"


class OrderQuerySet(models.QuerySet["Order"]):
    """The ways to find orders."""

    def visible_to(self, user: Any) -> Self:
        """Those that this user may see: their own, and for staff everybody's."""
        return self.all() if user.is_staff else self.filter(user=user)


class OrderManager(models.Manager["Order"]):
    """The orders that there are: drafts are not among them, whoever asks."""

    def get_queryset(self) -> OrderQuerySet:
        """All but drafts."""
        return OrderQuerySet(self.model, using=self._db).filter(files_count__gt=0)

    def visible_to(self, user: Any) -> OrderQuerySet:
        """Those that this user may see."""
        return self.get_queryset().visible_to(user)


class DraftManager(models.Manager["Order"]):
    """The orders that nobody may see."""

    def get_queryset(self) -> models.QuerySet[Order]:
        """Drafts alone."""
        return super().get_queryset().filter(files_count=0)


class Order(models.Model):
    """The files and sizes of one order, which nothing changes any more; only what became of them is added.

    ::

                begin           placed              its time is over
        (none) ───────► draft ──────────► an order ──────────────────► draft ──► (none)
                          └─ left lying: (none)

    A draft counts no files, which no order does. Its items come and go some at a time, so that an order of any size
    keeps nobody waiting for the database; it becomes an order, or ceases to be one, in one short transaction.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="orders")
    zip_file_name = models.CharField(max_length=255)
    files_count = models.PositiveBigIntegerField()
    total_bytes = models.PositiveBigIntegerField(help_text="Of its files.")
    framing_bytes = models.PositiveBigIntegerField(
        default=0, db_default=0, editable=False, help_text="What its zip may have beside them, at most."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrderManager()
    drafts = DraftManager()

    class Meta:
        """Newest first."""

        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["user", "-created_at", "-id"])]

    def __str__(self) -> str:
        return self.zip_file_name


class OrderItemQuerySet(models.QuerySet["OrderItem"]):
    """The ways to find order items."""

    def failed(self) -> Self:
        """Those that are not in the zip."""
        return self.exclude(failure_code="")

    def in_zip(self) -> Self:
        """Those that are to be in the zip, in the order they have there."""
        return self.filter(failure_code="").order_by("number")

    def unproved(self) -> Self:
        """Those that cannot be laid out, as their CRC-32 is not known yet."""
        return self.filter(failure_code="", crc32="")

    def to_compress(self) -> Self:
        """Those that are compressed in the zip."""
        return self.in_zip().filter(is_deflated=True)


class OrderItem(models.Model):
    """A file of an order, as it was when it was ordered, and what became of it."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="items")
    number = models.PositiveIntegerField(help_text="From 0.")
    file_id = models.BigIntegerField(help_text="Of the stored file, which may be gone.")
    entry_name = models.TextField(help_text="Its name in the zip.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    modified_ns = models.BigIntegerField(help_text="Nanoseconds since 1970.")
    crc32 = models.CharField(max_length=8, blank=True)
    is_deflated = models.BooleanField(default=False, help_text="Whether it is compressed in the zip.")
    deflated_size = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes, once it was compressed.")
    failure_code = models.CharField(max_length=20, blank=True, choices=FailureCode)
    failure_message = models.CharField(max_length=255, blank=True)

    objects = OrderItemQuerySet.as_manager()

    class Meta:
        """As they come in the zip."""

        ordering = ["order", "number"]
        constraints = [
            models.UniqueConstraint(fields=["order", "number"], name="order_item_number_once"),
            models.CheckConstraint(
                condition=Q(failure_code="") | Q(failure_code__in=FailureCode.values), name="order_item_failure_known"
            ),
        ]
        indexes = [models.Index(fields=["order"], condition=~Q(failure_code=""), name="order_item_failed")]

    def __str__(self) -> str:
        return self.entry_name
