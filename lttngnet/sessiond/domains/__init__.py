"""What ``-k``, ``-p``… mean: one `IDomain` each."""
