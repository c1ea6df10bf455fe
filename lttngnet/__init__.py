"""LTTng network streaming on Twisted.

This package imports nothing by itself, so that a traced program may say ``import lttngnet.logs``
and load no more than that.
"""

__version__ = "0.1.0"
