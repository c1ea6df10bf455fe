"""Applications with the C tracer: how they find the daemon, what is asked of them, what they ask."""
