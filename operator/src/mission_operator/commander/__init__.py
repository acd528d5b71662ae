"""The Commander, as the operator sees it: nothing else in this service speaks to it."""
