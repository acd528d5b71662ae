"""`make bench`: how fast missions go, next to what the servers below could do at best on the same machine."""
