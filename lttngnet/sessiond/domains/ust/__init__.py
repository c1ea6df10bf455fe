"""The user-space domain: applications with the C tracer, as `-u` means them."""
