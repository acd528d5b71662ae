"""What goes wrong here is told in one sentence: what happened, what it means, what to do next."""

from tools.stack import StackError


class ClusterError(StackError):
    """A cluster could not be had, reached or ended; the message is for the person who asked for it."""
