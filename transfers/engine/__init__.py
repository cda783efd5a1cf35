"""The engine: sources, sinks and the copy between them; pure Python, no framework."""
