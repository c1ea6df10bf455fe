"""What a trace is: metadata text, packets, index files (Common Trace Format 1.8)."""
