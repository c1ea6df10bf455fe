"""Sessions, trace chunks, streams and indexes as files."""
