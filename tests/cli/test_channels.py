"""enable-channel, disable-channel, add-context, track, untrack, regenerate."""

import json

from tests.cli.terminal import TerminalCase


class DomainVerbTests(TerminalCase):
    def setUp(self):
        super().setUp()
        self.succeeds("create", "session1")

    def told(self, command):
        """Return what the daemon was told last by a command."""
        return self.asked(command)[-1]

    def options(self, *arguments):
        """Make a channel, and return its options as the daemon is told them."""
        self.succeeds("enable-channel", *arguments)
        return self.told("EnableChannel")["options"]


class ChannelTests(DomainVerbTests):
    def test_a_channel_with_everything_at_its_default(self):
        told = self.succeeds("enable-channel", "-u", "mine")
        self.assertEqual(told, "userspace channel mine enabled for session session1.\n")
        self.assertEqual(
            self.told("EnableChannel"),
            {"session": "session1", "domain": "userspace", "channel": "mine", "options": {}},
        )

    def test_several_channels(self):
        self.succeeds("enable-channel", "-k", "a,b")
        self.assertEqual([each["channel"] for each in self.asked("EnableChannel")], ["a", "b"])

    def test_sizes_have_units(self):
        for text, size in (("65536", 65536), ("512k", 512 << 10), ("4M", 4 << 20), ("0x1000", 4096)):
            self.assertEqual(self.options("-u", "c", "--subbuf-size", text), {"subbuf_size": size})

    def test_times_have_units(self):
        for text, time in (("200", 200), ("200us", 200), ("3ms", 3000), ("1s", 1_000_000)):
            self.assertEqual(self.options("-u", "c", "--switch-timer", text), {"switch_timer": time})
        self.assertEqual(self.options("-u", "c", "--blocking-timeout", "inf"), {"blocking_timeout": -1})

    def test_modes(self):
        self.assertEqual(
            self.options("-u", "c", "--overwrite", "--buffers-pid"), {"overwrite": True, "buffers": "pid"}
        )
        self.assertEqual(
            self.options("-u", "c", "--discard", "--buffers-uid"), {"overwrite": False, "buffers": "uid"}
        )
        self.assertEqual(self.options("-k", "c", "--buffers-global"), {})

    def test_what_lttng_takes_and_means_nothing_here(self):
        self.assertEqual(self.options("-u", "c", "--output", "mmap", "--monitor-timer", "1000000"), {})

    def test_mistakes(self):
        self.assertIn(
            "is not a size", self.fails("enable-channel", "-u", "c", "--subbuf-size", "4X", status=2)
        )
        self.assertIn(
            "is not a size", self.fails("enable-channel", "-u", "c", "--subbuf-size", "9" * 5000, status=2)
        )
        self.assertIn(
            "is not for the kernel domain", self.fails("enable-channel", "-k", "c", "--buffers-pid")
        )
        self.assertIn("specify a tracer", self.fails("enable-channel", "c"))

    def test_json(self):
        told = json.loads(self.succeeds("enable-channel", "-u", "c", "--num-subbuf", "8", "--json"))
        self.assertEqual(
            told, {"name": "session1", "domain": "userspace", "channels": ["c"], "options": {"num_subbuf": 8}}
        )

    def test_disable(self):
        self.assertEqual(
            self.succeeds("disable-channel", "-u", "c"),
            "userspace channel c disabled for session session1.\n",
        )
        self.assertEqual(self.told("DisableChannel")["channel"], "c")


class ContextTests(DomainVerbTests):
    def test_to_all_channels(self):
        told = self.succeeds("add-context", "-u", "-t", "vpid", "-t", "procname,ip")
        self.assertEqual(self.told("AddContexts")["names"], ["vpid", "procname", "ip"])
        self.assertEqual(self.told("AddContexts")["channel"], "")
        self.assertIn("userspace context ip added to all channels.", told)

    def test_to_one(self):
        self.succeeds("add-context", "-u", "-c", "mine", "-t", "vpid")
        self.assertEqual(self.told("AddContexts")["channel"], "mine")


class ProcessTests(DomainVerbTests):
    def test_track(self):
        told = self.succeeds("track", "-u", "--pid", "1,2", "--vuid=www-data")
        self.assertEqual(
            [(each["kind"], each["ids"]) for each in self.asked("Track")],
            [("pid", [1, 2]), ("vuid", ["www-data"])],
        )
        self.assertIn("userspace: pid 1 2 tracked in session session1.", told)

    def test_all(self):
        self.succeeds("untrack", "-u", "--all", "--pid")
        self.assertEqual((self.told("Untrack")["kind"], self.told("Untrack")["ids"]), ("pid", []))

    def test_mistakes(self):
        self.assertIn("Please name processes", self.fails("track", "-u"))
        self.assertIn("Please name the ids of --pid", self.fails("track", "-u", "--pid"))

    def test_a_number_that_nothing_can_have(self):
        self.succeeds("track", "-u", "--pid", "9" * 5000)
        self.assertEqual(self.told("Track")["ids"], ["9" * 5000])


class RegenerateTests(DomainVerbTests):
    def test_what(self):
        self.assertEqual(
            self.succeeds("regenerate", "metadata"), "Metadata of session session1 regenerated.\n"
        )
        self.assertEqual(self.told("Regenerate"), {"session": "session1", "what": "metadata"})


class ListTests(DomainVerbTests):
    def test_applications(self):
        self.daemon.events = [
            {
                "name": "p:a",
                "pid": 5,
                "procname": "app",
                "loglevel": "TRACE_INFO",
                "fields": [{"name": "x", "type": "integer"}],
            },
            {"name": "p:b", "pid": 6, "procname": "app", "loglevel": "TRACE_INFO"},
        ]
        self.assertEqual(
            self.succeeds("list", "-u", "--fields"),
            "PID: 5 - Name: app\n    p:a (loglevel: TRACE_INFO)\n        field: x (integer)\n\n"
            "PID: 6 - Name: app\n    p:b (loglevel: TRACE_INFO)\n",
        )
        self.assertEqual(self.told("ListEvents"), {"domain": "userspace", "fields": True})

    def test_nothing_there(self):
        self.assertEqual(
            self.succeeds("list", "-p"), "There is no python event that could be recorded now.\n"
        )

    def test_not_both(self):
        self.assertIn("not both", self.fails("list", "-u", "session1"))
