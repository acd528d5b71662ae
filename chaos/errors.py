"""What stops a run, as opposed to what a run finds."""


class ChaosError(Exception):
    """The run itself went wrong, so that nothing was proved; the text says why and what to do."""
