"""What a session traces, in words: nothing that users asked for is left out."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.cli import listing
from lttngnet.sessiond.domains.ust.channels import Channels
from lttngnet.sessiond.domains.ust.trackers import Trackers
from lttngnet.sources.tally import Tally, facts

WHOLE = """\
Domain userspace
    Buffers:           by process
    Tracked processes: vpid 12 or 13, vuid none
    Applications:      2

    Channel big [enabled]
        When full:         overwrite the oldest
        Sub-buffers:       8 of 65536 bytes for each CPU
        Switch timer:      1000000 us
        Read timer:        none
        Blocking timeout:  none
        Trace files:       3 of 1048576 bytes for each stream
        Discarded events:  0
        Lost packets:      7
        Contexts:          vpid, $app.my.shop:till
        Events:
            shop:* (log level: TRACE_INFO and graver) (without: shop:tick, shop:noise) [enabled]
            shop:order (log level: TRACE_ERR only) (filter: number > 10) [enabled]
            * [disabled]

    Channel small [disabled]
        When full:         discard the newest
        Sub-buffers:       4 of 16384 bytes for each CPU
        Switch timer:      none
        Read timer:        200 us
        Blocking timeout:  infinite
        Trace files:       any number of 65536 bytes for each stream
        Discarded events:  9
        Contexts:          none
        Events:            none

    Channel lttng_jul_channel [enabled]
        When full:         discard the newest
        Sub-buffers:       4 of 16384 bytes for each CPU
        Switch timer:      none
        Read timer:        none
        Blocking timeout:  none
        Trace files:       one for each stream
        Discarded events:  0
        Contexts:          none
        Events:            those of loggers, see their domain
"""


class DomainTests(SynchronousTestCase):
    def test_whole(self):
        channels, trackers = Channels("s"), Trackers()
        size = {"subbuf_size": 65536, "num_subbuf": 8, "tracefile_size": 1 << 20, "tracefile_count": 3}
        channels.enable("big", size | {"buffers": "pid", "overwrite": True, "switch_timer": 1000000})
        channels.enable("small", {"read_timer": 200, "blocking_timeout": -1, "tracefile_size": 65536})
        channels.disable("small")
        channels.lend("lttng_jul_channel", "lttng_jul:event", [""], True)
        names = ["shop:tick", "shop:noise"]
        channels.enable_rules("big", ["shop:*"], {"loglevel": "INFO", "exclude": names})
        strict = {"loglevel": "ERR", "loglevel_only": True, "filter": "number > 10"}
        channels.enable_rules("big", ["shop:order"], strict)
        channels.enable_rules("big", [], {"all": True})
        channels.disable_rules("big", ["*"])
        channels.add_contexts("big", ["vpid", "$app.my.shop:till"])
        trackers.track("vpid", [12, 13])
        trackers.untrack("vuid", [])
        told = {
            "name": "userspace",
            "channels": channels.describe(),
            "buffers": channels.buffers,
            "tracked": trackers.describe(),
            "applications": 2,
        }
        counters = facts({"big": Tally(lost=7), "small": Tally(discarded=9), "lttng_jul_channel": Tally()})
        for channel in told["channels"]:
            channel["facts"] = counters["channels"][channel["name"]]
        self.assertEqual("\n".join(listing.domain(told)) + "\n", WHOLE)

    def test_all_processes(self):
        told = {"name": "userspace", "channels": [], "buffers": "uid", "tracked": {}, "applications": 0}
        self.assertEqual(
            list(listing.domain(told)),
            [
                "Domain userspace",
                "    Buffers:           by user",
                "    Tracked processes: all",
                "    Applications:      0",
            ],
        )
