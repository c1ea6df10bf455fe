"""The data path over UDP while a link is made: hellos, until the relay daemon acknowledges one.

The first hellos are as long as the way to the relay daemon may carry; shorter ones follow where none of them
is acknowledged. So the one that is tells how long datagrams may be. None is broken into pieces on its way.
"""

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.consumer.datagrams import HEADERS, IP_MTU, IPV6_MTU
from lttngnet.uri import Destination
from lttngnet.uri.destination import Family
from lttngnet.wire.datagram import LARGEST, SMALLEST, Seal, acknowledged, hello
from lttngnet.wire.relay.datagrams import DatagramsOpened

EVERY = 0.1  # seconds between two hellos
TRIES = 3  # hellos of each length
SIZES = (1452, 1232, SMALLEST)  # bytes that most ways, all with IPv6, and nearly all carry
SENT = 4 << 20  # bytes that may wait in the socket, if the system allows it

NEVER_IN_PIECES = {  # level, option and value: IP_MTU_DISCOVER, IPV6_MTU_DISCOVER; …_PMTUDISC_DO
    socket.AF_INET: (socket.IPPROTO_IP, 10, 2),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 2),
}
MTU = {
    socket.AF_INET: (socket.IPPROTO_IP, IP_MTU),
    socket.AF_INET6: (socket.IPPROTO_IPV6, IPV6_MTU),
}


@implementer(IReadDescriptor)
class Greeting:
    """Greets a relay daemon over UDP.

    Args:
        reactor: to wait with.
        where: the data destination.
        opened: what the relay daemon said on the control connection.
        up: called once a hello is acknowledged, with its length in bytes.
        failed: called with the reason, if that cannot be.
    """

    def __init__(
        self,
        reactor: Any,
        where: Destination,
        opened: DatagramsOpened,
        up: Callable[[int], None],
        failed: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._where = where
        self._opened = opened
        self._seal = Seal(opened.token)
        self._up = up
        self._failed = failed
        self._family = socket.AF_INET6 if where.family is Family.IPV6 else socket.AF_INET
        self._door: socket.socket | None = None
        self._next: IDelayedCall | None = None
        self._attempts = 0
        self._is_over = False
        if where.is_name:
            pool = reactor.getThreadPool()
            found = deferToThreadPool(
                reactor, pool, socket.getaddrinfo, where.host, where.port, self._family, socket.SOCK_DGRAM
            )
            found.addCallbacks(lambda addresses: self._connect(addresses[0][4]), self._unknown)
        else:
            self._connect((where.host, where.port))

    def take_socket(self) -> int:
        """Return the descriptor of the connected socket, which is the caller's from now on."""
        assert self._door is not None
        self._reactor.removeReader(self)
        door, self._door = self._door, None
        return door.detach()

    def stop(self) -> None:
        """Greet no more."""
        self._is_over = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._door is not None:
            self._reactor.removeReader(self)
            self._door.close()
            self._door = None

    def _unknown(self, failure: Failure) -> None:
        self._fail("the host name is not known")

    def _fail(self, why: str) -> None:
        if not self._is_over:
            self.stop()
            self._failed(f"the data path to {self._where} failed: {why}")

    def _connect(self, address: Any) -> None:
        if self._is_over:
            return
        self._door = door = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            door.setblocking(False)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT)
            door.setsockopt(*NEVER_IN_PIECES[self._family])
            door.connect(address)
        except OSError as problem:
            self._fail(str(problem.strerror))
            return
        self._reactor.addReader(self)
        self._greet()

    def _greet(self) -> None:
        self._next = None
        assert self._door is not None
        sizes = [self._most(), *(size for size in SIZES if size < self._most())]
        size = sizes[min(self._attempts // TRIES, len(sizes) - 1)]
        self._attempts += 1
        try:
            self._door.send(hello(self._seal, self._opened.connection, self._attempts, size))
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            self._refused()
            return
        except OSError:  # it is too long, or the network is not there now: the next one may be sent
            pass
        self._next = self._reactor.callLater(EVERY, self._greet)

    def _most(self) -> int:
        """Return how long a datagram may be, as far as we know of the way."""
        assert self._door is not None
        carried: int = self._door.getsockopt(*MTU[self._family]) - HEADERS[self._family]
        return max(SMALLEST, min(carried, self._opened.largest, LARGEST))

    def _refused(self) -> None:
        self._fail(f"nobody takes datagrams there (the relay daemon's port is {self._opened.port})")

    # ------------------------------------------------------------ what the reactor calls

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return -1 if self._door is None else self._door.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "greeting"

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: a hello was refused, which epoll takes for the end; or the reactor ends."""
        self.doRead()
        if self._door is not None and not self._is_over:
            self._reactor.addReader(self)

    def doRead(self) -> None:
        """See whether a hello is acknowledged."""
        while self._door is not None and not self._is_over:
            try:
                answer = self._door.recv(LARGEST)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self._refused()
                return
            except OSError:
                return
            size = acknowledged(self._seal, self._opened.connection, answer)
            if size is not None and SMALLEST <= size <= self._opened.largest:
                self._is_over = True
                if self._next is not None:
                    self._next.cancel()
                    self._next = None
                self._up(size)
