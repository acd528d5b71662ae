"""What goes wrong with images is told in one sentence: what happened, what it means, what to do next."""

from tools.stack.errors import StackError


class ImagesError(StackError):
    """An image could not be built or brought to the cluster; the message is for the person who asked for it."""
