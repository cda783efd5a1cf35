"""`/api/file/raylinksync`, and the API that cases live behind."""
