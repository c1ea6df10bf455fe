from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.classes import DYNAMIC, UNKNOWN, EventClasses
from tests.sources.ftrace.made_up import LAYOUTS


class EventClassesTests(SynchronousTestCase):
    def setUp(self):
        self.texts = []
        self.classes = EventClasses(LAYOUTS.__getitem__, 2, self.texts.append)

    def test_described_when_met(self):
        self.assertEqual(self.classes.words[100], UNKNOWN)
        self.assertEqual(self.classes.resolve(100, 4, [0] * 4, 0), 100)
        self.assertEqual(self.classes.resolve(100, 4, [0] * 4, 0), 100)
        self.assertEqual(self.classes.words[100], 4)
        [text] = self.texts
        self.assertIn("stream_id = 2;", text)

    def test_dynamic_is_checked_by_where_it_ends(self):
        record = [103, 0, 0, 5 << 16 | 16, 0, 0]
        self.assertEqual(self.classes.resolve(103, 6, record, 0), 103)
        self.assertEqual(self.classes.words[103], DYNAMIC)
        self.assertEqual(self.classes.covered(103, 6, record, 0), 21)
        self.assertEqual(self.classes.resolve(103, 7, record, 0), 65534)

    def test_private_ids(self):
        self.assertEqual(self.classes.resolve(100, 6, [0] * 6, 0), 65534)
        self.assertEqual(self.classes.resolve(108, 6, [0] * 6, 0), 65533)
        self.assertEqual(self.classes.resolve(100, 6, [0] * 6, 0), 65534)
        self.assertEqual(self.classes.covered(65534, 6, [0] * 6, 0), 24)
        self.assertEqual(len(self.texts), 3)

    def test_flexible_has_no_class_of_its_own(self):
        self.classes.meet(108)
        self.assertEqual(self.texts, [])
        self.assertEqual(self.classes.words[108], UNKNOWN)
