"""An agent that is none: does what it is told, and remembers it."""

from twisted.internet.protocol import Protocol

from lttngnet.wire.agent import (
    Answer,
    Domain,
    ListLoggers,
    Loggers,
    Orders,
    Registration,
    RegistrationDone,
)


class PretendedAgent(Protocol):
    """Attributes are for tests to set and to look at.

    Attributes:
        told: the orders that it was given.
        is_silent: it answers nothing.
        status: what it answers.
        names: of its loggers.
        closed: whether its connection is over.
    """

    def __init__(self, domain=Domain.PYTHON, pid=4242):
        self.registration = Registration(domain, pid)
        self.told = []
        self.is_silent = False
        self.status = 1
        self.names = ("root", "été")
        self.closed = False
        self._orders = Orders()

    def connectionMade(self):
        if self.registration is not None:
            self.transport.write(self.registration.pack())

    def dataReceived(self, data):
        for order in self._orders.feed(data):
            self.told.append(order)
            if self.is_silent or isinstance(order, RegistrationDone):
                continue
            kind = Loggers(self.status, self.names) if isinstance(order, ListLoggers) else Answer(self.status)
            self.transport.write(kind.pack())

    def connectionLost(self, reason):
        self.closed = True
