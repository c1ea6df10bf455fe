"""What the C tracer in an application and a session daemon say to each other over their two UNIX sockets."""
