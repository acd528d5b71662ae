"""What is wrong with a file, and where."""


class ManifestError(Exception):
    """One sentence, and the line of the document that it is about."""

    def __init__(self, sentence: str, document: int, line: int) -> None:
        super().__init__(sentence)
        self.document = document
        self.line = line


class ValueRefusedError(Exception):
    """One sentence about one value; the reader of the document knows its line."""
