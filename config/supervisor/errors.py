"""Why the service did not start."""


class StartError(Exception):
    """The service cannot start; the text tells a person what to do about it."""
