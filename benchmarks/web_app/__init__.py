"""What `web_servers.py` has every server serve: a bare view, a view of the API, and an echoing WebSocket."""
