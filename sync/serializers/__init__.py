"""Cases, and what is asked of them, on the wire: one serializer per direction."""
