"""``python -m lttngnet`` is the command ``lttngnet``."""

from lttngnet.cli import main

if __name__ == "__main__":
    main(prog_name="lttngnet")
