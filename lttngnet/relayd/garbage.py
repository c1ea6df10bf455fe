"""Cyclic garbage is looked for among what is new, never among everything.

Python's collector stops the daemon while it looks at objects: for 0.15 s where there are those of 20,000
streams, and it does so again and again while streams are added. So what survives a full collection is frozen
(`gc.freeze`): the next one looks only at what was made since. What is frozen is freed as usual when nobody
refers to it any more. Only a cycle of frozen objects would stay: none is left by a peer that is gone, and
while there is little everything is looked at again.
"""

import gc

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

LOOK = 60.0  # seconds between two looks at everything …
LITTLE = 200_000  # … if there are no more objects; some 20 ms


class Garbage(Service):
    """Sees to it, while it runs, that no collection takes long."""

    def __init__(self, clock: IReactorTime) -> None:
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def startService(self) -> None:
        """Freeze what was made until now, and from now on whatever survives a full collection."""
        super().startService()
        gc.collect()
        gc.freeze()
        gc.enable()
        gc.callbacks.append(freeze_survivors)
        self._looking.start(LOOK, now=False)

    def stopService(self) -> None:
        """Leave it all to Python again."""
        super().stopService()
        if self._looking.running:
            self._looking.stop()
            gc.callbacks.remove(freeze_survivors)
            gc.unfreeze()

    def _look(self) -> None:
        if gc.get_freeze_count() < LITTLE:
            gc.unfreeze()
            gc.collect()


def freeze_survivors(phase: str, info: dict[str, int]) -> None:
    """Do so at the end of a full collection."""
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()
