"""What can go wrong in the demo, told in one sentence."""

from tools.stack import StackError


class DemoError(StackError):
    """The demo could not show what it wanted to show."""
