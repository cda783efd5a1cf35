"""Files at HTTP servers: read by ranges that can be trusted, or not at all."""

from __future__ import annotations

from transfers.engine.http.source import USER_AGENT, HttpSource, session

__all__ = ["USER_AGENT", "HttpSource", "session"]
