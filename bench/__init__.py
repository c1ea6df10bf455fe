"""Our daemons and the genuine ones, side by side: ``make bench``, or parts of it with ``python -m bench``."""
