"""Byte streams of the genuine tools: see README.md beside this file."""

import json
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


class Capture:
    """One scenario: what went over its connections, in order, and the files that came of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.minor = int(name.rpartition("relay-2.")[2]) if "relay-2." in name else 13
        self.folder = HERE / name

    @property
    def is_genuine_relay(self) -> bool:
        """Whether the answers are the genuine relay daemon's."""
        return "relay-2." not in self.name

    def connections(self, kind: str) -> list[str]:
        """Return the names of the connections of a kind: ``control``, ``data``, ``live``."""
        return sorted(path.stem for path in self.folder.glob(f"{kind}*.json"))

    def entries(self, *kinds: str) -> list[dict]:
        """Return the entries of all connections of some kinds in the order in which they happened."""
        if (probe := self.folder / "probe.json").exists():
            return load(probe)
        found = []
        connections = [name for kind in kinds or ("control", "data") for name in self.connections(kind)]
        for connection in connections:
            found += [
                entry | {"connection": connection} for entry in load(self.folder / f"{connection}.json")
            ]
        return sorted(found, key=lambda entry: entry["i"])

    def bytes(self, connection: str, direction: str) -> bytes:
        """Return all that went over a connection in a direction: ``c2s``, ``s2c``."""
        entries = load(self.folder / f"{connection}.json")
        return b"".join(bytes.fromhex(e["hex"]) for e in entries if e["dir"] == direction)

    def files(self) -> dict[str, tuple[int, str]]:
        """Return size and SHA-256 of every file that the genuine relay daemon wrote, by path."""
        listed = json.loads((self.folder / "files.json").read_text())
        return {file["path"]: (file["size"], file["sha256"]) for file in listed}


@cache
def load(path: Path) -> list[dict]:
    return json.loads(path.read_text())["entries"]


def scenarios() -> list[Capture]:
    """Return all scenarios."""
    return [Capture(folder.name) for folder in sorted(HERE.iterdir()) if (folder / "control1.json").exists()]
