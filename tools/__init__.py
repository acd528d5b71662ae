"""What developers and CI run from the repository's root: `python -m tools.<name>`; nothing here is shipped.

A regular package on purpose: a namespace package would lose to any installed package of the same name.
"""
