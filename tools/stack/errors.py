"""What goes wrong here is told in one sentence: what happened, what it means, what to do next."""


class StackError(Exception):
    """A server could not be had, started or stopped; the message is for the person who asked for it."""
