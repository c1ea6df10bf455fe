"""The session daemon: tracing sessions, and the handshake with the relay daemon."""
