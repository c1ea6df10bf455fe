"""What both daemons do alike when they cannot start."""


class CannotStart(SystemExit, Exception):
    """Why a daemon cannot start: ends the process with status 1, and this line on standard error.

    As an Exception it passes through twistd, which then removes its pid file and tells the process that
    waits for the daemon; as a SystemExit it leaves no traceback.
    """

    def __init__(self, program: str, why: object) -> None:
        super().__init__(f"{program}: {why}")
