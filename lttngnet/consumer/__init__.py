"""The process that carries packets from sources to a sink."""
