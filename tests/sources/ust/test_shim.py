"""The shared object that is put together by hand."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ust.shim import SYMBOL, shared_object

LOAD = """
import ctypes, os, sys
descriptor = os.memfd_create("shim")
os.write(descriptor, sys.stdin.buffer.read())
shim = ctypes.CDLL(f"/proc/self/fd/{descriptor}", mode=ctypes.RTLD_GLOBAL)
variable = (ctypes.c_char * 512).in_dll(ctypes.CDLL(None), sys.argv[1])
print(variable.raw == bytes(512), ctypes.addressof(variable) % 16)
variable[511] = b"x"  # may be written, and is each thread's own
import threading
address = []
thread = threading.Thread(
    target=lambda: address.append(ctypes.addressof((ctypes.c_char * 512).in_dll(shim, sys.argv[1])))
)
thread.start()
thread.join()
print(address[0] != ctypes.addressof(variable))
print(any("rwx" in line or line.split()[1] == "rwxp" for line in open("/proc/self/maps")))
"""


class ShimTests(SynchronousTestCase):
    def test_defines_a_thread_local_variable(self):
        loading = subprocess.run(
            [sys.executable, "-c", LOAD, SYMBOL], input=shared_object(), capture_output=True, check=False
        )
        self.assertEqual(loading.stdout.decode().split(), ["True", "0", "True", "False"], loading.stderr)

    @given(st.from_regex(r"[a-z_]{1,60}", fullmatch=True), st.sampled_from(["x86_64", "aarch64", "riscv64"]))
    def test_any_name(self, name, machine):
        """Whatever its name is, the tables lie aligned, and within the file."""
        made = shared_object(name, machine)
        self.assertEqual(made[:4], b"\x7fELF")
        self.assertIn(b"\0" + name.encode() + b"\0", made)
        self.assertLess(len(made), 1024)

    def test_another_machine(self):
        with self.assertRaises(KeyError):
            shared_object(machine="vax")
