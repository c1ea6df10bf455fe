"""``python -m lttngnet.consumer DESCRIPTOR``: for the session daemon alone."""

import sys

from lttngnet.consumer.process import run

run(int(sys.argv[1]))
