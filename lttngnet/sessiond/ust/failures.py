"""What can go wrong between the daemon and one application; no other application notices."""

from lttngnet.wire.ust.commands import Failure


class ApplicationGone(Exception):
    """The application hung up, said what makes no sense, or did not answer in time; the text says which."""


class ApplicationRefused(Exception):
    """The application answered a command with an error.

    Attributes:
        command: what was asked.
        code: a `Failure`, or an errno; positive.
    """

    def __init__(self, command: str, code: int) -> None:
        super().__init__(command, code)
        self.command = command
        self.code = code

    def __str__(self) -> str:
        try:
            name = Failure(self.code).name
        except ValueError:
            name = "unknown error"
        return f"the application refused {self.command}: {name} ({self.code})"
