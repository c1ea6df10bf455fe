from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.formats import Layout
from lttngnet.sources.ftrace.tsdl import (
    covered_size,
    describe_event,
    describe_private_event,
)
from tests.sources.ftrace.made_up import LAYOUTS, format_text

OPENAT = format_text(
    "sys_enter_openat",
    700,
    ("int __syscall_nr", 8, 4, 1),
    ("int dfd", 16, 8, 0),
    ("const char * filename", 24, 8, 0),
    ("umode_t mode", 32, 8, 0),
)


class EventTests(SynchronousTestCase):
    def test_system_call(self):
        text = describe_event(Layout.parse(OPENAT, "syscalls"), 3)
        self.assertEqual(
            text,
            """\
event {
	name = "syscall_entry_openat";
	id = 700;
	stream_id = 3;
	context := struct {
		int32_t ___syscall_nr;
		uint32_t _pad0;
	};
	fields := struct {
		int32_t _dfd;
		uint32_t __dfd_hi;
		pointer_t _filename;
		uint64_t _mode;
	};
};

""",
        )

    def test_dynamic(self):
        text = describe_event(LAYOUTS[104], 0)
        declared = [line.strip() for line in text.splitlines() if line.startswith("\t\t")]
        self.assertEqual(
            declared,
            [
                "uint64_t _a;",
                "uint16_t __s_offset;",
                "uint16_t __s_length;",
                "uint16_t __r_offset;",
                "uint16_t __r_length;",
                "uint8_t _z;",
                "utf8_t _s[__s_length];",
                "uint8_t _r[__r_length];",
                "uint8_t _pad0[7];",
            ],
        )

    def test_holes(self):
        text = describe_event(LAYOUTS[101], 0)
        self.assertIn("uint8_t _a;\n\t\tuint8_t _pad0[7];\n\t\tuint64_t _b;", text)
        self.assertIn("int32_t _c;\n\t\tuint32_t _pad1;", text)
        self.assertEqual(covered_size(LAYOUTS[101]), 32)

    def test_up_to_3_bytes_are_left_to_the_reader(self):
        self.assertNotIn("_pad", describe_event(LAYOUTS[106], 0))
        self.assertEqual(covered_size(LAYOUTS[106]), 9)

    def test_private_class_is_longer(self):
        text = describe_private_event(LAYOUTS[100], 0, 65534, 24)
        self.assertIn("id = 65534;", text)
        self.assertIn("uint64_t _a;\n\t\tuint8_t _tail[8];", text)

    def test_private_class_of_flexible_text(self):
        text = describe_private_event(LAYOUTS[108], 0, 65534, 24)
        self.assertIn("uint64_t _ip;\n\t\tutf8_t _buf[8];", text)

    def test_private_class_is_shorter(self):
        text = describe_private_event(LAYOUTS[100], 0, 65534, 12)
        self.assertNotIn("_a;", text)
        self.assertIn("uint8_t _tail[4];", text)
