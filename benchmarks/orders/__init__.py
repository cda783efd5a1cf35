"""Orders measured: see `__main__`."""
