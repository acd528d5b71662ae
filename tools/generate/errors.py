"""A model that cannot become what it should: told with its path, at generation, not by a cluster."""


class GenerateError(Exception):
    """The message names the field and what it lacks."""
