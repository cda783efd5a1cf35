"""The admin's first page: what goes on, what is stuck and why, and who had what done; it keeps itself up to date."""
