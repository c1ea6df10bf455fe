"""The relay daemons that are compared, each a process that writes to a folder of its own."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 20.0  # seconds until a daemon that does not listen is a failure
STEP = 0.0005  # seconds between two looks whether it does


class ReceiverFailed(Exception):
    """A daemon does not do what it is there for."""


class Receiver:
    """A relay daemon.

    Args:
        name: "genuine" or "ours".
        command: that starts it.
        first_port: for control; the next two are for data and live viewers.
    """

    def __init__(self, name: str, command: list[str], first_port: int) -> None:
        self.name = name
        self.ports = tuple(range(first_port, first_port + 3))
        self.output = Path()
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process, while there is one."""
        assert self._process is not None
        return self._process.pid

    @property
    def options(self) -> list[str]:
        """What `relayload` has to know of it."""
        control, data, live = self.ports
        where = [f"--control-port={control}", f"--data-port={data}", f"--live-port={live}"]
        return [*where, f"--pid={self.pid}"]

    def start(self, folder: Path) -> float:
        """Start it, to write below a folder; return the seconds until every port accepts."""
        self.output = folder / self.name
        self.output.mkdir(parents=True, exist_ok=True)
        urls = [
            word
            for option, port in zip("CDL", self.ports, strict=True)
            for word in (f"-{option}", f"tcp://127.0.0.1:{port}")
        ]
        began = time.monotonic()
        with (folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "-o", str(self.output), *urls],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for port in self.ports:
            self._wait_for(port, began + PATIENCE)
        return time.monotonic() - began

    def stop(self) -> None:
        """End it, and remove what it wrote."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self.output, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what it wrote; it goes on."""
        for path in self.output.iterdir():
            shutil.rmtree(path, ignore_errors=True)

    def _wait_for(self, port: int, deadline: float) -> None:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert self._process is not None
            if self._process.poll() is not None:
                raise ReceiverFailed(f"{self.name} ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                raise ReceiverFailed(f"{self.name} does not listen after {PATIENCE} s")
            time.sleep(STEP)


def genuine() -> Receiver:
    """Return the genuine daemon."""
    return Receiver("genuine", ["lttng-relayd"], 5342)


def ours() -> Receiver:
    """Return our own, of the Python that runs this."""
    return Receiver("ours", [str(Path(sys.executable).with_name("lttng-relayd-tx"))], 6342)
