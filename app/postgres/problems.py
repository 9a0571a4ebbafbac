"""What can go wrong with the embedded server."""


class PostgresProblem(Exception):
    """The embedded database cannot be had; the message says why and what to do."""
