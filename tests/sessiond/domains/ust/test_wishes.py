"""What users ask for, checked: channels, rules, contexts, trackers. What is refused changes nothing."""

import pwd
from dataclasses import replace
from mmap import PAGESIZE

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.domains.ust import perf
from lttngnet.sessiond.domains.ust.attributes import NAME_LIMIT, Attributes, attributes
from lttngnet.sessiond.domains.ust.channels import Channels
from lttngnet.sessiond.domains.ust.contexts import PLAIN, context
from lttngnet.sessiond.domains.ust.rules import Rule, rules
from lttngnet.sessiond.domains.ust.trackers import Trackers
from lttngnet.wire.ust.commands import Context, ContextKind, EventRule, LoglevelType
from tests.descriptors import open_files
from tests.sessiond.ust.memory import FACTS


class Case(SynchronousTestCase):
    def assert_refused(self, code, asking, *arguments, **named):
        """See that something is refused with a code and one sentence."""
        refusal = self.assertRaises(CommandError, asking, *arguments, **named)
        self.assertEqual(refusal.code, code, refusal)
        self.assertNotIn("\n", str(refusal))


class AttributesTests(Case):
    def test_defaults(self):
        self.assertEqual(attributes({}, "uid"), Attributes(512 << 10, 4))
        self.assertEqual(attributes({"subbuf_size": None}, "pid"), Attributes(16 << 10, 4))

    def test_everything_said(self):
        options = {
            "subbuf_size": 1 << 20,
            "num_subbuf": 8,
            "switch_timer": 1000,
            "read_timer": 2000,
            "monitor_timer": 0,
            "blocking_timeout": -1,
            "tracefile_size": 1 << 22,
            "tracefile_count": 3,
            "buffers": "uid",
            "output": "mmap",
        }
        self.assertEqual(
            attributes(options, "uid"), Attributes(1 << 20, 8, False, 1000, 2000, -1, 1 << 22, 3)
        )

    def test_rounded_up_as_lttng_does(self):
        found = attributes({"subbuf_size": PAGESIZE + 1, "num_subbuf": 5, "tracefile_size": 1}, "uid")
        self.assertEqual((found.subbuf_size, found.num_subbuf), (2 * PAGESIZE, 8))
        self.assertEqual(found.tracefile_size, 2 * PAGESIZE)
        self.assertEqual(attributes({"num_subbuf": 1}, "uid").num_subbuf, 1)

    def test_impossible(self):
        for options in (
            {"subbuf_size": PAGESIZE // 2},
            {"subbuf_size": 0},
            {"subbuf_size": 1 << 33},
            {"subbuf_size": True},
            {"subbuf_size": "4M"},
            {"num_subbuf": 0},
            {"num_subbuf": -4},
            {"num_subbuf": 1, "overwrite": True},
            {"overwrite": True, "blocking_timeout": 100},
            {"blocking_timeout": -2},
            {"switch_timer": 1 << 32},
            {"read_timer": -1},
            {"tracefile_count": 2},
            {"tracefile_size": -1},
        ):
            self.assert_refused(Code.INVALID, attributes, options, "uid")
        self.assert_refused(Code.NOT_SUPPORTED, attributes, {"output": "splice"}, "uid")
        self.assert_refused(Code.NOT_SUPPORTED, attributes, {"colour": "red"}, "uid")


class RulesTests(Case):
    def test_one_for_each_name(self):
        self.assertEqual(rules(["a:b", "a:*", "a:b"], {}), [Rule("a:b"), Rule("a:*")])
        self.assertEqual(rules([], {"all": True, "kind": "tracepoint"}), [Rule("*")])

    def test_levels(self):
        (rule,) = rules(["a:b"], {"loglevel": "TRACE_INFO", "loglevel_only": False})
        self.assertEqual(rule.to_event(), EventRule("a:b", LoglevelType.RANGE, 6))
        (rule,) = rules(["a:b"], {"loglevel": 4, "loglevel_only": True})
        self.assertEqual(rule.to_event(), EventRule("a:b", LoglevelType.SINGLE, 4))
        (rule,) = rules(["a:b"], {"loglevel": None, "loglevel_only": True})
        self.assertEqual(rule.to_event(), EventRule("a:b"))
        for level in ("LOUD", "15", 15, -1, "", "INFO..DEBUG"):
            self.assert_refused(Code.INVALID, rules, ["a:b"], {"loglevel": level})

    def test_exclusions(self):
        (rule,) = rules(["a:*"], {"exclude": ["a:b", "a:c*", "a:b", "z"]})
        self.assertEqual(rule.exclusions, ("a:b", "a:c*", "z"))
        for name, excluded in (
            ("a:b", "a:c"),
            (r"a:\*", "a:c"),
            ("a:*", "a:*"),
            ("a:b*", "a:*"),
            ("a:*b", "*"),
        ):
            self.assert_refused(Code.EXCLUSION_INVAL, rules, [name], {"exclude": [excluded]})
        self.assert_refused(Code.EXCLUSION_INVAL, rules, ["*"], {"exclude": [f"a:{n}" for n in range(5000)]})

    def test_names(self):
        rules(["x" * 255], {})
        for name in ("", "x" * 256, "é" * 128, "a\0b", 7, None):
            self.assert_refused(Code.INVALID_EVENT_NAME, rules, [name], {})
        self.assert_refused(Code.INVALID, rules, [], {})

    def test_of_another_kind(self):
        self.assert_refused(Code.NOT_SUPPORTED, rules, ["open"], {"kind": "syscall"})
        self.assert_refused(Code.NOT_SUPPORTED, rules, ["open"], {"function": "open"})

    def test_described(self):
        (rule,) = rules(["a:*"], {"loglevel": "crit", "filter": "x > 1", "exclude": ["a:b"]})
        told = {
            "name": "a:*",
            "loglevel": "TRACE_CRIT",
            "loglevel_only": False,
            "filter": "x > 1",
            "exclude": ["a:b"],
        }
        self.assertEqual(rule.describe(), told)
        self.assertIs(Rule("a").describe()["loglevel"], None)


class ContextTests(Case):
    def test_plain(self):
        self.assertEqual(len(PLAIN), 20)
        self.assertEqual(context("vpid"), Context(ContextKind.VPID))
        self.assertEqual(context("time_ns"), Context(ContextKind.TIME_NS))

    def test_of_an_application(self):
        own = Context(ContextKind.APPLICATION, provider="server", name="user")
        self.assertEqual(context("$app.server:user"), own)
        own = Context(ContextKind.APPLICATION, provider="my.server", name="user name.1")
        self.assertEqual(context("$app.my.server:user name.1"), own)
        for name in ("$app.server", "$app.:user", "$app.server:", "$app.a:b:c", f"$app.a:{'x' * 250}"):
            self.assert_refused(Code.UST_CONTEXT_INVAL, context, name)

    def test_counters(self):
        self.patch(perf, "obstacle", lambda kind, config: "")
        for name, kind, config in (
            ("cycles", 0, 0),
            ("branch-misses", 0, 5),
            ("page-fault", 1, 2),
            ("L1-dcache-load-misses", 3, 0x10000),
            ("dTLB-prefetches", 3, 0x203),
            ("LLC-store-misses", 3, 0x10102),
            ("raw:r1C0:loads", 4, 0x1C0),
        ):
            found = context(f"perf:thread:{name}")
            self.assertEqual((found.perf_type, found.perf_config), (kind, config), name)
            self.assertRegex(found.name, r"^perf_thread_\w+$")
        self.assertEqual(len(perf.COUNTERS), 53)
        for name in ("nonsense", "iTLB-stores", "raw:rXYZ:a", "raw:r1"):
            self.assert_refused(Code.UST_CONTEXT_INVAL, context, f"perf:thread:{name}")

    def test_a_counter_that_cannot_be_had(self):
        self.patch(perf, "obstacle", lambda kind, config: "this machine has no such counter")
        self.assert_refused(Code.UST_CONTEXT_INVAL, context, "perf:thread:cycles")

    def test_asking_the_kernel(self):
        before = open_files()
        self.assertIsInstance(perf.obstacle(0, 0), str)
        self.assertNotEqual(perf.obstacle(0, 1 << 40), "")
        self.assertEqual(open_files(), before)

    def test_others(self):
        for name in ("pid", "uid", "callstack-user", "perf:cpu:cycles", "nonsense", ""):
            self.assert_refused(Code.UST_CONTEXT_INVAL, context, name)
        refusal = self.assertRaises(CommandError, context, "euid")
        self.assertIn("veuid", str(refusal))


class TrackersTests(Case):
    def setUp(self):
        self.trackers = Trackers()

    def included(self, **facts):
        return self.trackers.includes(replace(FACTS, **facts))

    def test_all_at_first(self):
        self.assertTrue(self.included())
        self.assertEqual(self.trackers.describe(), {})

    def test_some(self):
        self.trackers.track("vpid", [42, "43"])
        self.trackers.track("vpid", [44])
        self.assertEqual([self.included(vpid=pid) for pid in (42, 43, 44, 45)], [True, True, True, False])
        self.assertTrue(self.included(pid=1))
        self.trackers.untrack("vpid", [42])
        self.assertFalse(self.included())
        self.assertEqual(self.trackers.describe(), {"vpid": ["43", 44]})
        self.trackers.track("vpid", [])
        self.assertTrue(self.included())

    def test_none(self):
        self.trackers.untrack("vgid", [])
        self.assertFalse(self.included())
        self.assertEqual(self.trackers.describe(), {"vgid": []})
        self.trackers.track("gid", [100])
        self.assertTrue(self.included())

    def test_every_attribute_has_to_fit(self):
        self.trackers.track("pid", [42])
        self.trackers.track("uid", [0])
        self.assertFalse(self.included())
        self.assertTrue(self.included(uid=0))

    def test_users_by_name(self):
        user = pwd.getpwuid(0).pw_name
        self.trackers.track("vuid", [user])
        self.assertEqual(self.trackers.describe(), {"vuid": [user]})
        self.assertTrue(self.included(uid=0))
        self.trackers.untrack("vuid", [0])
        self.assertFalse(self.included(uid=0))

    def test_impossible(self):
        for kind, ids in (
            ("colour", [1]),
            ("vpid", ["self"]),
            ("vpid", [-1]),
            ("vpid", [1 << 32]),
            ("vpid", [True]),
            ("vpid", ["9" * 5000]),
            ("vuid", ["no such user"]),
            ("vgid", ["no such group"]),
        ):
            self.assert_refused(Code.INVALID, self.trackers.track, kind, ids)
            self.assert_refused(Code.INVALID, self.trackers.untrack, kind, ids)
        self.assert_refused(Code.PROCESS_ATTR_MISSING, self.trackers.untrack, "vpid", [7])
        self.trackers.track("vpid", [7])
        self.assert_refused(Code.PROCESS_ATTR_MISSING, self.trackers.untrack, "vpid", [7, 8])
        self.assertEqual(self.trackers.describe(), {"vpid": [7]})


class ChannelsTests(Case):
    def setUp(self):
        self.channels = Channels("s")

    def only(self):
        (channel,) = self.channels
        return channel

    def test_made_by_hand(self):
        self.channels.enable("big", {"subbuf_size": 1 << 20})
        self.channels.enable("small", {"subbuf_size": 1 << 12})
        self.assertEqual([each.stream_class for each in self.channels], [0, 1])
        self.assertEqual([each["subbuf_size"] for each in self.channels.describe()], [1 << 20, 1 << 12])

    def test_disabled_and_enabled(self):
        self.channels.enable("c", {})
        self.assert_refused(Code.UST_CHAN_EXIST, self.channels.enable, "c", {})
        self.channels.disable("c")
        self.assertFalse(self.only().enabled)
        self.channels.enable("c", {"subbuf_size": 1 << 30})
        self.assertTrue(self.only().enabled)
        self.assertEqual(self.only().attributes.subbuf_size, 512 << 10)
        self.assert_refused(Code.UST_CHAN_NOT_FOUND, self.channels.disable, "d")

    def test_names(self):
        self.channels.enable("x" * NAME_LIMIT, {})
        for name in ("", ".c", "a/b", "a\0b", "x" * (NAME_LIMIT + 1), "é" * 121):
            self.assert_refused(Code.INVALID_CHANNEL_NAME, self.channels.enable, name, {})

    def test_one_scheme_for_all(self):
        self.channels.enable("c", {"buffers": "pid"})
        self.channels.enable("d", {})
        self.assertEqual([each.attributes.subbuf_size for each in self.channels], [16 << 10] * 2)
        self.assert_refused(Code.BUFFER_TYPE_MISMATCH, self.channels.enable, "e", {"buffers": "uid"})
        self.assert_refused(Code.INVALID, self.channels.enable, "e", {"buffers": "global"})
        self.assertEqual(len(self.channels), 2)

    def test_an_attempt_that_fails_decides_nothing(self):
        self.assert_refused(Code.INVALID, self.channels.enable, "c", {"buffers": "pid", "subbuf_size": 1})
        self.assertEqual((len(self.channels), self.channels.buffers), (0, "uid"))

    def test_rules_make_a_channel(self):
        self.assertEqual(self.channels.enable_rules("", ["a:b"], {}), ["a:b"])
        self.assertEqual((self.only().name, self.only().rules), ("channel0", {Rule("a:b"): True}))
        self.channels.enable_rules("other", ["a:b"], {})
        self.assert_refused(Code.NEED_CHANNEL_NAME, self.channels.enable_rules, "", ["a:c"], {})

    def test_rules_are_told_apart_by_all_that_they_say(self):
        self.channels.enable_rules("c", ["a:*"], {})
        self.channels.enable_rules("c", ["a:*"], {"loglevel": "INFO"})
        self.channels.enable_rules("c", ["a:*"], {"loglevel": "INFO", "loglevel_only": True})
        self.channels.enable_rules("c", ["a:*"], {"filter": "n == 1"})
        self.channels.enable_rules("c", ["a:*"], {"exclude": ["a:b"]})
        self.assertEqual(len(self.only().rules), 5)
        self.assertEqual([rule.filter for rule in self.only().bytecode], ["n == 1"])
        self.assert_refused(Code.UST_EVENT_ENABLED, self.channels.enable_rules, "c", ["a:*"], {})
        self.assertEqual(self.channels.enable_rules("c", ["a:*", "new"], {}), ["a:*", "new"])

    def test_rules_disabled_and_enabled(self):
        self.channels.enable_rules("channel0", ["a", "b"], {})
        self.channels.enable_rules("channel0", ["a"], {"loglevel": "INFO"})
        self.assertEqual(self.channels.disable_rules("", ["a"]), ["a"])
        self.assertEqual(list(self.only().rules.values()), [False, True, False])
        self.channels.enable_rules("channel0", ["a"], {})
        self.assertEqual(list(self.only().rules.values()), [True, True, False])
        self.assertEqual(self.channels.disable_rules("channel0", []), ["a", "b"])
        self.assertEqual(set(self.only().rules.values()), {False})
        self.assert_refused(Code.UST_EVENT_NOT_FOUND, self.channels.disable_rules, "channel0", ["b", "c"])
        self.assert_refused(Code.UST_CHAN_NOT_FOUND, self.channels.disable_rules, "d", ["a"])

    def test_news_of_rules(self):
        """Who knew of all knows of all again, and what is remembered for that has an end."""
        self.channels.enable_rules("c", ["a", "b"], {})
        (channel,) = self.channels
        rules, known = channel.news(0)
        self.assertEqual([rule.name for rule in rules], ["a", "b"])
        self.assertEqual((channel.news(known), channel.count(known)), (([], known), 0))
        for _ in range(1000):
            self.channels.disable_rules("c", ["b"])
            self.channels.enable_rules("c", ["b"], {})
            count = channel.count(known)
            rules, known = channel.news(known)
            self.assertEqual(count, len(rules))
            self.assertEqual({rule.name for rule in rules} - {"a"}, {"b"})
        self.assertLess(len(channel._news), 100)
        self.assertEqual({rule.name for rule in channel.news(0)[0]}, {"a", "b"})

    def test_a_wrong_filter_makes_no_channel(self):
        self.assert_refused(Code.FILTER_INVAL, self.channels.enable_rules, "c", ["a"], {"filter": "x >"})
        self.assertEqual(len(self.channels), 0)

    def test_contexts(self):
        self.channels.enable("c", {})
        self.channels.enable("d", {})
        self.channels.add_contexts("c", ["vpid"])
        self.channels.add_contexts("", ["procname", "vpid"])
        self.assertEqual(
            [list(each.contexts) for each in self.channels], [["vpid", "procname"], ["procname", "vpid"]]
        )
        add = self.channels.add_contexts
        self.assert_refused(Code.UST_CONTEXT_EXIST, add, "", ["vtid", "vpid"])
        self.assert_refused(Code.UST_CONTEXT_INVAL, add, "", ["vtid", "pid"])
        self.assert_refused(Code.UST_CHAN_NOT_FOUND, add, "e", ["vtid"])
        self.assert_refused(Code.INVALID, add, "", [])
        self.assertEqual({len(each.contexts) for each in self.channels}, {2})

    def test_contexts_make_a_channel(self):
        self.channels.add_contexts("", ["vpid"])
        self.assertEqual((self.only().name, list(self.only().contexts)), ("channel0", ["vpid"]))

    def test_fixed(self):
        self.channels.enable("c", {})
        self.channels.is_fixed = True
        started = Code.TRACE_ALREADY_STARTED
        self.assert_refused(started, self.channels.enable, "d", {})
        self.assert_refused(started, self.channels.enable_rules, "d", ["a"], {})
        self.assert_refused(started, self.channels.add_contexts, "c", ["vpid"])
        self.channels.enable_rules("c", ["a"], {})
        self.channels.disable("c")
        self.channels.enable("c", {})
