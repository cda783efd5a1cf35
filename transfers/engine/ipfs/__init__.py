"""Files named by their content: every byte is proved to be the one that was asked for."""
