"""The command line client of Carryon: it uploads files so that nothing ever starts over.

It knows nothing of the service's own code, for it runs on its users' machines: all it shares with it is the wire.
"""

from __future__ import annotations

VERSION = "0.1.0"
"""The version in pyproject.toml."""
