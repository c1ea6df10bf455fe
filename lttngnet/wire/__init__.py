"""Bytes ↔ messages: no Twisted transport, no clock, no file, no socket."""
