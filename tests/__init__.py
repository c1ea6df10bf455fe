"""All tests. None is judged by how fast the machine makes examples for it.

The examples of properties are the same in every run, but for ``make soak``: more, and others each time.
"""

import os

from hypothesis import HealthCheck, settings

SOAK = "LTTNGNET_SOAK"  # environment variable: how many times as long as in a normal run

settings.register_profile(
    "tests",
    deadline=None,
    derandomize=SOAK not in os.environ,
    max_examples=int(settings.default.max_examples * float(os.environ.get(SOAK, "1"))),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")
