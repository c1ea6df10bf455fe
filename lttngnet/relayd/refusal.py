"""A request that cannot be met: the peer's mistake, or against the rules of this daemon."""

from lttngnet.errors import Code


class Refusal(Exception):
    """What a peer asked for is refused: LTTng's error number for the peer, one sentence for our log."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why

    def __str__(self) -> str:
        return self.why
