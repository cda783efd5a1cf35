"""What operators run by `manage.py`."""
