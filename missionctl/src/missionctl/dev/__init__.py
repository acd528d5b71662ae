"""Mission Control in one process, on the memory broker and ledger: the only module that composes the services."""
