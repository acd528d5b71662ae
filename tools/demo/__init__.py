"""`make demo`: a person who has never seen this watches missions go through a real API server."""
