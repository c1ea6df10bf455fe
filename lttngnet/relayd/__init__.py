"""The relay daemon: receives traces over the network."""
