"""What the API promises, beside the routes that keep it: each operation with all its answers, as OpenAPI 3.1.

A test holds the description and the registered routes against each other, and another one sends thousands of requests
that are made up from it.
"""

from mission_commander.api.described.document import document, operations
from mission_commander.api.described.operation import Answer, Body, Operation, Parameter
from mission_commander.api.described.page import page

__all__ = ["Answer", "Body", "Operation", "Parameter", "document", "operations", "page"]
