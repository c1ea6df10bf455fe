"""The kernel as a source of packets, through tracefs."""
