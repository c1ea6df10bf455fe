"""The two daemons, as twistd knows them."""

from twisted.application.service import ServiceMaker

lttng_relayd = ServiceMaker(
    "LTTng relay daemon",
    "lttngnet.relayd.service",
    "Receive LTTng traces over the network.",
    "lttng-relayd",
)
lttng_sessiond = ServiceMaker(
    "LTTng session daemon",
    "lttngnet.sessiond.service",
    "Control tracing sessions, and send their traces over the network.",
    "lttng-sessiond",
)
