"""What Twisted imports and a daemon does not use is left out: it would take a third of the time of the start.

`import_little` is to be called before anything of Twisted is imported, `leave_out_tls` before the reactor is;
``twistd`` has imported both when it comes to us.
"""

import sys
from collections.abc import Coroutine
from importlib import import_module
from types import GeneratorType, ModuleType
from typing import Any

COOKIES = "http.cookiejar"
"""Brings ``http.client``, ``email`` and ``ssl``; to `twisted.python.compat` it is but another name."""
FUTURES = "asyncio"
"""Twisted looks into it for two annotations and a function, in `twisted.internet.defer`."""
TLS = "OpenSSL"
"""Brings ``cryptography``, `twisted.protocols.tls` and 12 MiB of memory."""


class _Later(ModuleType):
    """Stands for a module while Twisted is imported; what is asked of it later the real one has."""

    def __init__(self, name: str, **contents: Any) -> None:
        super().__init__(name)
        vars(self).update(contents)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _leave(self)
        return getattr(import_module(self.__name__), name)


def import_little() -> None:
    """Import what any daemon needs of Twisted, without what nearly none does."""
    if "twisted" in sys.modules:
        return
    futures = _Later(FUTURES, AbstractEventLoop=Any, Future=Any, iscoroutine=_is_coroutine)
    later = {COOKIES: _Later(COOKIES), FUTURES: futures}
    mine = {name: module for name, module in later.items() if name not in sys.modules}
    sys.modules.update(mine)
    try:
        import_module("twisted.internet.defer")
    finally:
        for module in mine.values():
            _leave(module)


def _leave(module: _Later) -> None:
    """Let who imports it from now on get the real one."""
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


def leave_out_tls() -> None:
    """Let Twisted do as where no pyOpenSSL is installed."""
    sys.modules.setdefault(TLS, None)  # type: ignore[arg-type]


def _is_coroutine(thing: object) -> bool:
    return isinstance(thing, Coroutine | GeneratorType)
