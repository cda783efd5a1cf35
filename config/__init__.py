"""The project: settings, entry points, and what every app's requests pass through."""
