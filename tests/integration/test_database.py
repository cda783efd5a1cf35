"""Connections to the database as the service makes them: none waits longer for it than a lease allows."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connection


@pytest.mark.django_db
def test_no_connection_outwaits_a_lease() -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            milliseconds = cursor.fetchone()[0]
        assert 0 < milliseconds < settings.ENVIRONMENT.lease_seconds / 2 * 1000
    else:
        connection.ensure_connection()
        parameters = connection.connection.info.get_parameters()
        assert (parameters["connect_timeout"], parameters["tcp_user_timeout"]) == ("5", "10000")
