"""The service with a few views more, which show what reached a view of the shipped web process."""
