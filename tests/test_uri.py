"""LTTng URIs: the vectors of lttng-tools 2.13 and of the RFC, pairs, hops, file names, and the C struct."""

import contextlib
import ctypes
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.uri import (
    PACKED,
    PADDED,
    RFC,
    Destination,
    Family,
    Output,
    Protocol,
    StreamType,
    UriError,
    UriType,
    parse,
    parse_argument,
    parse_hops,
    parse_listener,
    parse_pair,
)

CONTROL, DATA = StreamType.CONTROL, StreamType.DATA
CWD = "/home/someone"

# What the text means: host, port of each destination, subdir of the first; or the path.
GOOD = {
    # the unit tests of lttng-tools
    "net://localhost": ("127.0.0.1", [None, None], ""),
    "net://localhost:8989:4242/my/test/path": ("127.0.0.1", [8989, 4242], "my/test/path"),
    "net://localhost:8989:4242": ("127.0.0.1", [8989, 4242], ""),
    "net6://[::1]:8989": ("::1", [8989, None], ""),
    "tcp://42.42.42.42/my/test/path": ("42.42.42.42", [None], "my/test/path"),
    "tcp6://[fe80::f66d:4ff:fe53:d220]/my/test/path": ("fe80::f66d:4ff:fe53:d220", [None], "my/test/path"),
    # what its parser does with these was tried
    "NET://127.0.0.1": ("127.0.0.1", [None, None], ""),
    "net4://127.0.0.1": ("127.0.0.1", [None, None], ""),
    "tcp4://127.0.0.1:1": ("127.0.0.1", [1], ""),
    "net://127.0.0.1:65535": ("127.0.0.1", [65535, None], ""),
    "net://127.0.0.1:": ("127.0.0.1", [None, None], ""),
    "net://127.0.0.1::4242": ("127.0.0.1", [None, 4242], ""),
    "net://127.0.0.1:1:": ("127.0.0.1", [1, None], ""),
    "net://127.0.0.1/": ("127.0.0.1", [None, None], ""),
    "net://127.0.0.1/a?b#c": ("127.0.0.1", [None, None], "a?b#c"),
    "net6://[::1]/p": ("::1", [None, None], "p"),
    "net://[127.0.0.1]:5": ("127.0.0.1", [5, None], ""),
    "net://127.1": ("127.0.0.1", [None, None], ""),
    "net6://localhost": ("::1", [None, None], ""),
    "tcp6://localhost": ("::1", [None], ""),
    # the RFC's alone
    "udp://127.0.0.1:5343": ("127.0.0.1", [5343], ""),
    "udp6://[::1]:1": ("::1", [1], ""),
    # names stay names
    "net://relay.example:5342": ("relay.example", [5342, None], ""),
    "tcp6://relay_1.example./x": ("relay_1.example.", [None], "x"),
    "tcp://[relay]:00080": ("relay", [80], ""),
    "tcp://LocalHost": ("127.0.0.1", [None], ""),
    "tcp://h/100%25 é,x/./y/": ("h", [None], "100%25 é,x/./y/"),
    "tcp://h/...": ("h", [None], "..."),
}
FILES = {"file:///my/test/path": "/my/test/path", "file:///a:b": "/a:b", "FILE:///x": "/x", "file:///": "/"}
BAD = {
    "the unit tests of lttng-tools": ["file/my/test/path", "net://:8999"],
    "no scheme": [
        "",
        "/abs",
        "rel",
        "net:127.0.0.1",
        "http://127.0.0.1",
        " net://h",
        "udp4://h",
        "fıle:///x",
    ],
    "ports": [
        "net://h:0",
        "net://h:65536",
        "net://h:-5",
        "net://h:abc",
        "net://h:99999999999",
        "net://h:1:2:3",
        "tcp://h:1:2",
    ],
    "ports that atoi would take": ["net://h:12abc", "net://h:+7", "net://h: 7", "net://h:٣"],
    "brackets": [
        "net6://::1",
        "tcp6://fe80::1",
        "net6://[::1",
        "net6://[]",
        "net6://[::1]x",
        "net6://[fe80::1%lo]",
    ],
    "addresses": ["net://256.1.1.1", "net://1.2.3.4.5", "net://relay.1", "tcp6://[1::2::3]"],
    "families": ["net://[::1]", "net6://127.0.0.1", "net6://127.1", "tcp4://[::]", "udp6://[127.0.0.1]"],
    "hosts": [
        "net://",
        "net:///p",
        "net://user@127.0.0.1",
        "net://h ",
        "net://h\n",
        "net://hôte",
        "net://h\0",
    ],
    "names": ["net://a..b", "net://-a", "net://.", f"net://{64 * 'a'}", f"tcp://{127 * 'a.'}a"],
    "files": ["file://", "file://rel/path", "file://localhost/x"],
    "hops": ["tcp://a:1,tcp://b:2", "net://a,net://b"],
    "climbing": ["net://h//", "net://h/a/../b", "net://h/..", "file:///a/../b", "file:///.."],
    "control characters": ["net://h/a\0b", "net://h/a\nb", "net://h/\x7f", "file:///a\x9bb", "file:///a\0"],
    "bytes": [f"net://h/{4096 * 'a'}", f"file:///{4095 * 'a'}", f"tcp://h/{2048 * 'é'}", "tcp://h/\ud800"],
}

PAIRS = {
    (None, None): "no output",
    ("net://127.0.0.1", None): "tcp4://127.0.0.1:5342/ [data: 5343]",
    ("net://127.0.0.1", ""): "tcp4://127.0.0.1:5342/ [data: 5343]",
    ("net://127.0.0.1", "net://127.0.0.1"): "tcp4://127.0.0.1:5342/ [data: 5343]",
    ("tcp://127.0.0.1", "tcp://127.0.0.1"): "tcp4://127.0.0.1:5342/ [data: 5343]",
    ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"): "tcp4://127.0.0.1:1/ [data: 2]",
    ("tcp://localhost/p", "tcp://127.0.0.1/q"): "tcp4://127.0.0.1:5342/p [data: tcp4://127.0.0.1:5343/q]",
    ("tcp6://[::1]", "tcp6://[0:0::1]:9"): "tcp6://[::1]:5342/ [data: 9]",
    ("tcp://127.0.0.1", None): "tcp4://127.0.0.1:5342/ [no data]",
    (None, "tcp://127.0.0.1"): "tcp4://127.0.0.1:5343/ [no control]",
    ("tcp://Relay/p", "tcp://relay/p"): "tcp4://Relay:5342/p [data: 5343]",
    ("/abs/dir", None): "file:///abs/dir/",
    ("file:///abs", None): "file:///abs/",
    # the RFC's
    ("tcp://127.0.0.1", "tcp://127.0.0.2"): "tcp4://127.0.0.1:5342/ [data: tcp4://127.0.0.2:5343/]",
    ("tcp://127.0.0.1", "udp://127.0.0.1"): "tcp4://127.0.0.1:5342/ [data: udp://127.0.0.1:5343/]",
    (None, "udp6://[::1]"): "udp6://[::1]:5343/ [no control]",
    ("rel/dir", None): "file:///home/someone/rel/dir/",
}
BAD_PAIRS = {
    "empty": [("", ""), ("", None), (None, ""), ("", "tcp://h"), ("tcp://h", ""), ("/abs", "")],
    "net and more": [("net://h", "tcp://h:9"), ("net://h", "net://g"), ("net://h", "udp://h")],
    "net as data": [("tcp://h", "net://h"), (None, "net://h")],
    "families": [("tcp://127.0.0.1", "tcp6://[::1]"), ("tcp6://[::1]", "udp://127.0.0.1")],
    "path and more": [("/a", "tcp://h"), ("file:///a", "file:///a"), ("rel", "tcp://h"), ("/a", "/a")],
    "path as data": [
        ("tcp://h", "/a"),
        ("tcp://h", "file:///x"),
        ("tcp://h", "rel"),
        (None, "/a"),
        (None, "rel"),
    ],
    "control over UDP": [("udp://h", None), ("udp://h", "udp://h"), ("udp://h", "tcp://h")],
    "same port": [("tcp://h:7", "tcp://h:7"), ("net://h:7:7", None)],
    "same port by default": [("net://h:5343", None), ("tcp://h", "tcp://h:5342")],
}


class Refusals(SynchronousTestCase):
    def refused(self, function, *arguments, **named):
        """Return the sentence of the UriError that a call must raise, or name what was taken."""
        try:
            found = function(*arguments, **named)
        except UriError as problem:
            return str(problem)
        self.fail(f"{arguments!r} {named!r} was taken for {found!r}")


def texts(minimum: int = 0) -> st.SearchStrategy[str]:
    """What a folder may be called, except what a rule forbids."""
    characters = st.characters(exclude_categories=["Cc", "Cs"])
    found = st.text(characters, min_size=minimum, max_size=40)
    return found.filter(lambda text: ".." not in text.split("/") and not text.startswith("/"))


PORTS = st.none() | st.integers(1, 65535)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}(\.[a-z][a-z0-9_]{0,9}){0,3}", fullmatch=True).filter(
    lambda name: name != "localhost"
)
V4, V6 = st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)
STREAMS = st.sampled_from([(Protocol.TCP, CONTROL), (Protocol.TCP, DATA), (Protocol.UDP, DATA)])


def without_query(subdir: str) -> str:
    """Leave out the character that has a meaning with UDP, and what it may leave."""
    return subdir.replace("?", "x")


def networks(addresses: bool, names: bool) -> st.SearchStrategy[Destination]:
    """Network destinations of both families."""
    places = [st.tuples(st.just(Family.IPV4), V4), st.tuples(st.just(Family.IPV6), V6)] if addresses else []
    places += [st.tuples(st.just(Family.IPV4), NAMES)] if names else []
    return st.builds(
        lambda how, place, port, subdir: Destination(
            how[0], *place, port, subdir if how[0] is Protocol.TCP else without_query(subdir), how[1]
        ),
        *(STREAMS, st.one_of(places), PORTS, texts()),
    )


PATHS = texts().map(lambda text: Destination(Protocol.PATH, path=f"/{text}"))
ADDRESSES = networks(addresses=True, names=False) | PATHS
DESTINATIONS = networks(addresses=True, names=True) | PATHS


class TextTests(Refusals):
    def test_good(self):
        for text, (host, ports, subdir) in GOOD.items():
            found = parse(text)
            self.assertEqual([each.host for each in found], [host] * len(ports), text)
            self.assertEqual([each.port for each in found], ports, text)
            self.assertEqual([each.subdir for each in found], [subdir, ""][: len(ports)], text)
            self.assertEqual({each.utype for each in found}, {UriType.DESTINATION}, text)
            family = Family.IPV6 if "6:" in text[:5] else Family.IPV4
            self.assertEqual({each.family for each in found}, {family}, text)

    def test_files(self):
        for text, path in FILES.items():
            self.assertEqual(parse(text), [Destination(Protocol.PATH, path=path)], text)

    def test_bad(self):
        for reason, texts in BAD.items():
            for text in texts:
                self.assertTrue(self.refused(parse, text).startswith(f"{text!r}: "), reason)

    def test_roles(self):
        self.assertEqual([each.stream for each in parse("net://h")], [CONTROL, DATA])
        self.assertEqual([each.stream for each in parse("net://h", CONTROL)], [CONTROL, DATA])
        self.assertEqual([each.stream for each in parse("tcp://h")], [CONTROL])
        self.assertEqual([each.stream for each in parse("tcp://h", DATA)], [DATA])
        self.assertEqual([each.stream for each in parse("udp://h")], [DATA])
        self.assertEqual(parse("tcp://h/a?reliable=1")[0].subdir, "a?reliable=1")
        for text, role in ("net://h", DATA), ("file:///x", DATA), ("udp://h", CONTROL):
            self.refused(parse, text, role)

    def test_what_is_lost_is_sent_again(self):
        for text, written in {
            "udp://h?reliable=1": "udp://h/?reliable=1",
            "udp6://[::1]:7/a/b?reliable=1": "udp6://[::1]:7/a/b?reliable=1",
            "udp://h:7/?reliable=0": "udp://h:7/",
        }.items():
            (data,) = parse(text)
            self.assertEqual((str(data), data.repeats), (written, written.endswith("1")))
            self.assertEqual(parse(written), [data])
        for text in (
            "udp://h?reliable",
            "udp://h?reliable=2",
            "udp://h/a?x=1",
            "udp://h?reliable=1?reliable=1",
        ):
            self.assertRaises(UriError, parse, text)
        self.assertRaises(UriError, parse_listener, "udp://0.0.0.0?reliable=1")
        self.assertRaises(UriError, RFC.pack, parse("udp://127.0.0.1:7?reliable=1")[0])
        self.assertRaises(UriError, Destination, Protocol.TCP, Family.IPV4, "h", repeats=True)
        output = parse_pair("tcp://h", "udp://h?reliable=1", CWD)
        self.assertEqual(str(output), "tcp4://h:5342/ [data: udp://h:5343/?reliable=1]")
        self.assertEqual(Output.from_dict(output.to_dict()), output)

    def test_equal(self):
        self.assertEqual(parse("net://localhost"), parse("net4://127.1"))
        self.assertNotEqual(parse("net://localhost"), parse("net://localhost:8989:4242"))

    def test_listener(self):
        self.assertEqual(parse_listener("tcp://127.0.0.1:0").port, 0)
        self.assertEqual(parse_listener("tcp6://[::]").port, None)
        for text in "net://127.0.0.1", "tcp://127.0.0.1:1/x", "tcp://127.0.0.1:65536":
            self.refused(parse_listener, text)

    def test_impossible(self):
        network = {
            "host": ["127.1", "::1", "localhost", ""],
            "family": [None],
            "port": [-1, 65536],
            "subdir": ["/x", "a/../b", "a\nb"],
            "path": ["/x"],
            "protocol": [Protocol.UDP, Protocol.PATH],
        }
        path = {
            "host": ["h"],
            "family": [Family.IPV4],
            "port": [1, 0],
            "subdir": ["x"],
            "path": ["x", "", "/..", "/\0"],
            "stream": [DATA],
            "utype": [UriType.HOP],
            "protocol": [Protocol.TCP],
        }
        for text, changes in ("tcp://127.0.0.1:1", network), ("file:///x", path):
            for field, values in changes.items():
                for value in values:
                    self.refused(replace, parse(text)[0], **{field: value})

    @given(DESTINATIONS)
    def test_round_trip(self, destination):
        self.assertEqual(parse(str(destination), destination.stream), [destination])

    @given(
        st.text(alphabet="netcpud46file:/[].,%@01 aé\0", max_size=30).map(lambda text: f"net6://{text}")
        | st.text()
    )
    def test_never_anything_but_uri_error(self, text):
        try:
            found = parse(text)
        except UriError:
            return
        for destination in found:
            self.assertEqual(parse(str(destination), destination.stream), [destination])


class HopTests(Refusals):
    def test_order(self):
        route = parse_hops("tcp://a:1,TCP6://[::1],tcp://c/x,y", DATA)
        self.assertEqual([hop.host for (hop,) in route.hops], ["a", "::1"])
        self.assertEqual({hop.utype for (hop,) in route.hops}, {UriType.HOP})
        (last,) = route.destination
        self.assertEqual((last.host, last.subdir, last.utype), ("c", "x,y", UriType.DESTINATION))

    def test_pairs(self):
        route = parse_hops("net://hop,net6://dst")
        self.assertEqual([each.stream for each in route.hops[0]], [CONTROL, DATA])
        self.assertEqual([each.host for each in route.destination], ["dst", "dst"])

    def test_no_hops(self):
        self.assertEqual(parse_hops("file:///a,b").hops, ())
        self.assertEqual(parse_hops("net://h").destination, tuple(parse("net://h")))

    def test_bad(self):
        mixed = ["file:///a,tcp://b", "tcp://b,file:///a", "net://a,tcp://b", "tcp://a,net://b"]
        wrong = ["tcp://a,b", "tcp://a,", ",tcp://a", "tcp://a:0,tcp://b"]
        too_many = ",".join(10 * ["tcp://a"])
        for text in *mixed, *wrong, too_many:
            self.refused(parse_hops, text)
        self.assertEqual(len(parse_hops(",".join(9 * ["tcp://a"])).hops), 8)

    def test_refused(self):
        for control, data in (
            ("net://a,net://b", None),
            ("tcp://a,tcp://b", None),
            (None, "tcp://a,udp://b"),
            ("tcp://a,tcp://b", "tcp://c,tcp://d"),
            ("net://a,net://b", "net://a,net://b"),
        ):
            self.assertEqual(self.refused(parse_pair, control, data, CWD), "hops are not supported yet")
        problem = self.refused(parse_pair, "tcp://a,tcp://b", "tcp://c", CWD)
        self.assertIn("different numbers of hops", problem)


class ArgumentTests(Refusals):
    def test_network(self):
        for text, meaning in {
            "net://localhost": "tcp4://127.0.0.1:5342/ [data: 5343]",
            "net6://[::1]:1:2/s": "tcp6://[::1]:1/s [data: 2]",
            "tcp://relay.example": "tcp4://relay.example:5342/ [no data]",
        }.items():
            output = parse_argument(text, CWD)
            self.assertEqual(str(output), meaning, text)
            self.assertEqual((output.is_network, output.is_complete), (True, "no data" not in meaning), text)

    def test_file_names(self):
        for text, path in {
            "/abs/x": "/abs/x",
            "file:///abs": "/abs",
            "/a,tcp://b": "/a,tcp://b",
            "/a:b": "/a:b",
            "traces": "/home/someone/traces",
            "./a b": "/home/someone/./a b",
            "~/x": "/home/someone/~/x",
            "file/my/test/path": "/home/someone/file/my/test/path",
            ".": "/home/someone/.",
        }.items():
            self.assertEqual(parse_argument(text, CWD), Output(path=path), text)
        self.assertEqual(parse_argument("x", "/").path, "/x")

    def test_mistyped(self):
        for text in "net:127.0.0.1", "http://127.0.0.1", "tpc://h", "Net5://h", "udp4://h", "file:/x":
            output = parse_argument(text, CWD)
            self.assertEqual(output.path, f"{CWD}/{text}")
            (warning,) = output.warnings
            for part in "net6://", "udp6://", "file://", output.path:
                self.assertIn(part, warning)

    def test_bad(self):
        for text in (
            "",
            "net://",
            "tcp://h:0",
            "udp://h",
            "file://x",
            "FILE://",
            "../x",
            "a/../b",
            "/..",
            "a\nb",
        ):
            self.refused(parse_argument, text, CWD)


class PairTests(Refusals):
    def test_good(self):
        for pair, meaning in PAIRS.items():
            self.assertEqual(str(parse_pair(*pair, CWD)), meaning, pair)

    def test_bad(self):
        for pairs in BAD_PAIRS.values():
            for pair in pairs:
                self.refused(parse_pair, *pair, CWD)

    def test_warnings(self):
        for pair in PAIRS:
            warnings = parse_pair(*pair, CWD).warnings
            self.assertEqual(len(warnings), pair[1] == "tcp://127.0.0.2", pair)
        (warning,) = parse_pair("tcp://a", "tcp://b", CWD).warnings
        self.assertIn("control goes to a and data to b", warning)


class OutputTests(Refusals):
    def setUp(self):
        self.control = parse_pair("tcp://127.0.0.1/x", None, CWD)
        self.data = parse_pair(None, "tcp://127.0.0.1", CWD)
        self.both = parse_argument("net://10.0.0.1", CWD)
        self.path = parse_argument("/x", CWD)

    def test_complete(self):
        for output, network, complete in (
            (Output(), False, False),
            (self.control, True, False),
            (self.data, True, False),
            (self.both, True, True),
            (self.path, False, True),
        ):
            self.assertEqual((output.is_network, output.is_complete), (network, complete), output)

    def test_halves_meet(self):
        meaning = "tcp4://127.0.0.1:5342/x [data: 5343]"
        self.assertEqual(str(self.control.updated(self.data)), meaning)
        self.assertEqual(str(self.data.updated(self.control)), meaning)

    def test_later_wins(self):
        for earlier in Output(), self.control, self.data, self.both, self.path:
            for later in self.both, self.path:
                self.assertEqual(earlier.updated(later), later)
            self.assertEqual(earlier.updated(Output()), earlier)
        self.assertEqual(self.path.updated(self.control), self.control)

    def test_one_half_changes(self):
        split = self.both.updated(self.data)
        self.assertEqual((split.control, split.data), (self.both.control, self.data.data))
        (warning,) = split.warnings
        self.assertIn("control goes to 10.0.0.1 and data to 127.0.0.1", warning)

    def test_halves_that_do_not_meet(self):
        for data in "tcp6://[::1]", "udp6://[::1]", "tcp://127.0.0.1:5342":
            self.refused(self.control.updated, parse_pair(None, data, CWD))

    def test_impossible(self):
        control, data = self.both.control, self.both.data
        for parts in (
            [{"control": data}, {"data": control}, {"path": "x"}, {"control": control, "path": "/x"}]
            + [{"control": replace(control, port=port)} for port in (None, 0)]
            + [{"control": replace(control, utype=UriType.HOP)}]
            + [{"control": Destination(Protocol.PATH, path="/x")}]
        ):
            self.refused(Output, **parts)

    def test_json(self):
        split = parse_pair("tcp://a", "udp://b/é", CWD)
        for output in Output(), self.control, self.data, self.both, self.path, split:
            self.assertEqual(Output.from_dict(json.loads(json.dumps(output.to_dict()))), output)

    def test_bad_json(self):
        for changed in (
            [{"control": wrong} for wrong in (1, "", "net://h", "tcp://h", "file:///x")]
            + [{"path": wrong} for wrong in (1, "", "x", "/../x")]
            + [{"warnings": wrong} for wrong in (None, "text", [1])]
            + [{"data": "/x"}, {"control": "tcp://h:1", "path": "/x"}]
        ):
            self.refused(Output.from_dict, {**Output().to_dict(), **changed})
        self.refused(Output.from_dict, {})


class Place(ctypes.Union):
    _fields_ = (("ipv4", ctypes.c_char * 16), ("ipv6", ctypes.c_char * 46), ("path", ctypes.c_char * 4096))


class RfcPlace(ctypes.Union):
    _fields_ = (*Place._fields_, ("padding", ctypes.c_char * 128))


ENUMS = tuple((name, ctypes.c_uint) for name in ("dtype", "utype", "stype", "proto"))


class PaddedUri(ctypes.Structure):
    _fields_ = (*ENUMS, ("port", ctypes.c_uint16), ("subdir", ctypes.c_char * 4096), ("dst", Place))


class PackedUri(ctypes.Structure):
    _pack_ = 1
    _fields_ = PaddedUri._fields_


class RfcUri(ctypes.Structure):
    _fields_ = (
        *ENUMS,
        ("port", ctypes.c_uint16),
        ("padding", ctypes.c_char * 32),
        ("subdir", ctypes.c_char * 4096),
        ("dst", RfcPlace),
    )


LAYOUTS = {RFC: (RfcUri, 8244, 4146), PADDED: (PaddedUri, 8212, 4114), PACKED: (PackedUri, 8210, 4114)}


class LayoutTests(Refusals):
    def test_sizes(self):
        for layout, (struct, size, dst) in LAYOUTS.items():
            self.assertEqual((layout.size, ctypes.sizeof(struct), struct.dst.offset), (size, size, dst))

    def numbers(self, layout, uri, role=None, **changes):
        struct = LAYOUTS[layout][0].from_buffer_copy(layout.pack(replace(parse(uri, role)[0], **changes)))
        text = struct.dst.path
        return [struct.dtype, struct.utype, struct.stype, struct.proto, struct.port, struct.subdir, text]

    def test_fields_of_lttng_tools(self):
        hop = {"utype": UriType.HOP}
        for layout in PADDED, PACKED:
            for expected, found in {
                (1, 0, 0, 1, 5342, b"a/b", b"127.0.0.1"): self.numbers(layout, "tcp://127.1:5342/a/b"),
                (2, 0, 1, 1, 0, b"", b"::1"): self.numbers(layout, "tcp6://[::1]", DATA),
                (1, 1, 1, 2, 7, b"", b"127.0.0.1"): self.numbers(layout, "udp://127.0.0.1:7", DATA, **hop),
                (3, 0, 0, 0, 0, b"", b"/\xc3\xa9"): self.numbers(layout, "file:///é"),
            }.items():
                self.assertEqual(list(expected), found)

    def test_fields_of_the_rfc(self):
        hop = {"utype": UriType.HOP}
        for expected, found in {
            (0, 1, 0, 1, 5342, b"a/b", b"127.0.0.1"): self.numbers(RFC, "tcp://127.1:5342/a/b"),
            (1, 1, 1, 0, 0, b"", b"::1"): self.numbers(RFC, "udp6://[::1]"),
            (2, 0, 1, 1, 7, b"", b"relay"): self.numbers(RFC, "tcp://relay:7", DATA, **hop),
            (3, 1, 0, 0, 0, b"", b"/x"): self.numbers(RFC, "file:///x"),
        }.items():
            self.assertEqual(list(expected), found)

    @given(ADDRESSES, st.sampled_from(list(UriType)))
    def test_round_trip(self, destination, utype):
        if destination.protocol is not Protocol.PATH:
            destination = replace(destination, utype=utype)
        for layout in LAYOUTS:
            packed = layout.pack(destination)
            self.assertEqual(len(packed), layout.size)
            self.assertEqual(layout.unpack(packed), destination)

    @given(networks(addresses=False, names=True))
    def test_names(self, destination):
        self.assertEqual(RFC.unpack(RFC.pack(destination)), destination)
        for layout in PADDED, PACKED:
            self.refused(layout.pack, destination)

    def test_no_place(self):
        (name,) = parse("tcp6://relay")
        for layout in LAYOUTS:
            self.refused(layout.pack, name)
            self.refused(layout.pack, parse_listener("tcp://127.0.0.1:0"))

    def test_undecodable(self):
        path = Destination(Protocol.PATH, path=b"/\xff".decode(errors="surrogateescape"))
        self.assertEqual(PACKED.unpack(PACKED.pack(path)), path)

    def test_after_the_nul(self):
        struct = PackedUri.from_buffer_copy(PACKED.pack(parse("tcp://127.0.0.1/x")[0]))
        data = bytearray(bytes(struct))
        data[18 + 2] = data[4114 + 11] = 0xFF
        self.assertEqual(PACKED.unpack(data).subdir, "x")

    def test_host_is_read_like_text(self):
        for text in b"127.1", b"LOCALHOST":
            struct = RfcUri(2, 1, 0, 1, 5, b"", b"", (b"",))
            struct.dst.path = text
            self.assertEqual(RFC.unpack(bytes(struct)), parse("tcp://127.0.0.1:5")[0])

    def malformed(self, kind, text, **changes):
        """Check that no destination is read from the struct that lttng-tools would send, changed."""
        struct = PackedUri(kind, 0, 0, 0 if kind == 3 else 1)
        struct.dst.path = text
        for field, value in changes.items():
            setattr(struct, field, value)
        try:
            found = PACKED.unpack(bytes(struct))
        except WireError:
            return
        self.fail(f"{kind} {text!r} {changes} was taken for {found!r}")

    def test_bad_numbers(self):
        for field, numbers in {"dtype": (0, 4), "utype": (2,), "stype": (2,), "proto": (0, 2, 3)}.items():
            for number in numbers:
                self.malformed(1, b"127.0.0.1", **{field: number})
        for field in "utype", "stype", "proto", "port":
            self.malformed(3, b"/x", **{field: 1})

    def test_bad_texts(self):
        for text in b"", b"relay", b"localhost", b"127.1", b"::1", b"127.0.0.1 and more", b"1\xff":
            self.malformed(1, text)
        for text in b"", b"relay", b"127.0.0.1", b"fe80::1%lo", 46 * b"1", b"::1\n":
            self.malformed(2, text)
        for text in b"", b"x", b"/a/..", b"/\n", 4096 * b"/":
            self.malformed(3, text)
        for subdir in b"/x", b"a/../b", 4096 * b"a":
            self.malformed(1, b"127.0.0.1", subdir=subdir)
        self.malformed(3, b"/x", subdir=b"y")

    def test_lengths(self):
        good = PACKED.pack(parse("tcp://127.0.0.1")[0])
        for data in b"", good[:-1], good + b"\0", good + b"\0\0":
            self.assertRaises(WireError, PACKED.unpack, data)

    @given(st.binary(max_size=24), st.binary(max_size=50), st.binary(max_size=50))
    def test_never_anything_but_wire_error(self, head, subdir, dst):
        for layout, (_, size, offset) in LAYOUTS.items():
            data = bytearray(size)
            data[: len(head)] = head
            data[offset - 4096 : offset - 4096 + len(subdir)] = subdir
            data[offset : offset + len(dst)] = dst
            with contextlib.suppress(WireError):
                layout.unpack(data)
