"""What comes in and goes out of the API: one serializer a direction."""
