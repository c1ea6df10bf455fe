"""Applications that use lttng-ust: their ring buffers, through LTTng's own library."""
