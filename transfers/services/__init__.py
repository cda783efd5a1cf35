"""What can be asked of the service: verbs of intent, and the only door to work."""
