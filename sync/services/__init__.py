"""What can be asked of sync: verbs of intent, and the only door to work."""
