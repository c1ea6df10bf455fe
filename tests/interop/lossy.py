"""A bad network for datagrams, between a sender and a relay daemon: a thread that forwards them, or not."""

import heapq
import select
import socket
import threading
import time
from itertools import count
from pathlib import Path
from random import Random


class LossyNetwork:
    """Forwards datagrams to an address and back, as a network does that loses, doubles and delays them.

    Args:
        target: address and port.
        loss: part of the datagrams that is lost, in either direction.
        doubled: part of those that come twice.
        jitter: seconds by which each is delayed at most: so they overtake each other.
        largest: bytes of a datagram that it carries.
        seed: of what is left to chance.

    Attributes:
        port: to send to, at 127.0.0.1.
        carried: datagrams that were delivered.
        lost: datagrams that were not.
        slowest: seconds by which one was delivered or looked for too late, because the machine is busy.
    """

    def __init__(self, target, loss=0.0, doubled=0.0, jitter=0.0, largest=1472, seed=1):
        self.carried = self.lost = 0
        self.slowest = 0.0
        self.loss, self._doubled, self._jitter, self._largest = loss, doubled, jitter, largest
        self._target = target
        self._random = Random(seed)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._front.bind(("127.0.0.1", 0))
        self._front.setblocking(False)
        self.port = self._front.getsockname()[1]
        self._backs = {}  # a socket for each sender
        self._due = []
        self._order = count()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def overrun(self):
        """Datagrams that came faster than they could be taken, here or at the other end."""
        return sum(dropped(port) for port in (self.port, self._target[1]))

    def close(self):
        """End it."""
        self._is_over.set()
        self._thread.join()
        for one in (self._front, *self._backs.values()):
            one.close()

    def _run(self):
        senders, looked = {}, time.monotonic()
        while not self._is_over.is_set():
            wait = 0.05 if not self._due else max(0.0, min(0.05, self._due[0][0] - time.monotonic()))
            readable, _, _ = select.select([self._front, *senders], [], [], wait)
            for one in readable:
                for _ in range(64):
                    try:
                        datagram, sender = one.recvfrom(1 << 16)
                    except BlockingIOError:
                        break
                    except OSError:
                        continue
                    if one is self._front:
                        if sender not in self._backs:
                            back = self._backs[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                            back.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
                            back.connect(self._target)
                            back.setblocking(False)
                            senders[back] = sender
                        self._take(datagram, self._backs[sender].send)
                    else:
                        back_to = senders[one]
                        self._take(datagram, lambda data, to=back_to: self._front.sendto(data, to))
            now = time.monotonic()
            self.slowest, looked = max(self.slowest, now - looked - wait), now
            while self._due and self._due[0][0] <= now:
                due, _, datagram, send = heapq.heappop(self._due)
                self.slowest = max(self.slowest, now - due)
                try:
                    send(datagram)
                    self.carried += 1
                except OSError:
                    self.lost += 1

    def _take(self, datagram, send):
        if len(datagram) > self._largest or self._random.random() < self.loss:
            self.lost += 1
            return
        for _ in range(2 if self._random.random() < self._doubled else 1):
            delay = self._random.uniform(0, self._jitter)
            heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), datagram, send))


def dropped(port):
    """Return how many datagrams the system had no room for at a port."""
    lines = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(fields[-1]) for fields in lines if int(fields[1].rpartition(":")[2], 16) == port)
