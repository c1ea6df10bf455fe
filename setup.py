"""What setup.cfg cannot say: the compiled parts, which are left out where they cannot be built."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension("lttngnet.sources.ftrace._convert", ["lttngnet/sources/ftrace/_convert.c"], optional=True),
        Extension("lttngnet.relayd._plane", ["lttngnet/relayd/_plane.c"], optional=True),
    ]
)
