import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.formats import Field, Formats, Kind, Layout
from tests.sources.ftrace.made_up import LAYOUTS, format_text


def parse(declaration, size, signed=False):
    return Field.parse(declaration, 8, size, signed)


class FieldTests(SynchronousTestCase):
    def test_kinds(self):
        for declaration, size, name, kind, element_size in (
            ("int irq", 4, "irq", Kind.INTEGER, 1),
            ("struct task_struct * p", 8, "p", Kind.INTEGER, 1),
            ("struct timespec64 when", 16, "when", Kind.ARRAY, 1),
            ("char comm[16]", 16, "comm", Kind.TEXT, 1),
            ("unsigned long args[6]", 48, "args", Kind.ARRAY, 8),
            ("u8 uuid[UUID_SIZE]", 16, "uuid", Kind.ARRAY, 1),
            ("struct pair pairs[2]", 48, "pairs", Kind.ARRAY, 1),
            ("__data_loc char[] name", 4, "name", Kind.DYNAMIC, 1),
            ("__rel_loc char[] name", 4, "name", Kind.RELATIVE, 1),
            ("char buf[]", 0, "buf", Kind.FLEXIBLE, 1),
        ):
            field = parse(declaration, size)
            self.assertEqual((field.name, field.kind, field.element_size), (name, kind, element_size))

    def test_type(self):
        self.assertEqual(parse("const char * name", 8).c_type, "const char *")

    def test_nonsense(self):
        self.assertRaises(ValueError, parse, ";", 4)


class LayoutTests(SynchronousTestCase):
    def test_common_fields_are_left_out(self):
        layout = LAYOUTS[101]
        self.assertEqual((layout.system, layout.name, layout.id), ("test", "with_hole", 101))
        self.assertEqual([field.name for field in layout.fields], ["a", "b", "c"])

    def test_structure_is_rounded_up(self):
        self.assertEqual((LAYOUTS[101].end, LAYOUTS[101].tail, LAYOUTS[101].words), (28, 4, 8))
        self.assertEqual((LAYOUTS[103].end, LAYOUTS[103].tail, LAYOUTS[103].words), (16, 0, 0))
        self.assertEqual((LAYOUTS[104].end, LAYOUTS[104].tail, LAYOUTS[104].words), (25, 7, 0))

    def test_system_calls_are_rounded_up_to_8(self):
        text = format_text("sys_enter_sync", 7, ("int __syscall_nr", 8, 4, 1))
        self.assertEqual(Layout.parse(text, "syscalls").words, 4)

    def test_smallest_record(self):
        self.assertEqual(LAYOUTS[102].words, 3)

    def test_end_of_dynamic_data(self):
        self.assertEqual(LAYOUTS[103].dynamic_end(5 << 16 | 16), 21)
        self.assertEqual(LAYOUTS[104].dynamic_end(5 << 16 | 30), 42)
        self.assertEqual(LAYOUTS[107].dynamic_end(5 << 16 | 0), 21)

    def test_nonsense(self):
        self.assertRaises(ValueError, Layout.parse, "name: x\n", "test")


class FormatsTests(SynchronousTestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.events = Path(holder.name)
        self.add("sched", "sched_switch", 5)
        self.formats = Formats(self.events)

    def add(self, system, name, event_id):
        folder = self.events / system / name
        folder.mkdir(parents=True)
        (folder / "format").write_text(format_text(name, event_id))

    def test_found_by_id(self):
        layout = self.formats.layout(5)
        self.assertEqual((layout.system, layout.name), ("sched", "sched_switch"))
        self.assertIs(self.formats.layout(5), layout)

    def test_a_module_brings_an_event(self):
        self.formats.load()
        self.add("btrfs", "btrfs_sync", 6)
        self.assertEqual(self.formats.layout(6).name, "btrfs_sync")

    def test_event_that_nobody_knows(self):
        layout = self.formats.layout(9)
        self.assertEqual((layout.name, layout.flexible), ("unknown_9", True))
