"""Which plane there is: the compiled one, where it was built, or the one in Python, which does the same."""

from collections.abc import Mapping

from lttngnet.relayd.options import cannot_start
from lttngnet.relayd.plane import Plane

VARIABLE = "LTTNGNET_PLANE"
PYTHON, COMPILED = "python", "compiled"


def plane_kind(environ: Mapping[str, str]) -> type[Plane]:
    """Return the class of plane to use: the compiled one if it is there, or what the environment says.

    Raises:
        CannotStart: it says what is none, or what was not built.
    """
    wanted = environ.get(VARIABLE, "")
    if wanted not in ("", PYTHON, COMPILED):
        raise cannot_start(f"{VARIABLE} is {wanted!r}, neither {PYTHON!r} nor {COMPILED!r}")
    if wanted == PYTHON:
        return Plane
    from lttngnet.relayd.compiled import CompiledPlane, load  # ctypes costs time at the start

    try:
        load()
    except OSError as problem:
        if wanted == COMPILED:
            raise cannot_start(f"{VARIABLE} is {wanted!r}, but {problem}") from None
        return Plane
    return CompiledPlane
