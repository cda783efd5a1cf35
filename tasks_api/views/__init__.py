"""What answers under `/api/v1/`."""
