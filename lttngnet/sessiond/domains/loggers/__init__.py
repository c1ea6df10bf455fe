"""What ``-p``, ``-j`` and ``-l`` mean: programs with loggers."""
