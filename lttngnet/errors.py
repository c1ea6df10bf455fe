"""Failures, by whose fault they are, and LTTng's error numbers.

* `CommandError`: a user's command cannot be carried out. Travels from the daemon to the client; one sentence.
* `WireError`: a peer's bytes cannot be the message they claim to be. Ends that one connection.
* `RelayRefused`: the relay daemon answered a question with a refusal.

* `RelayLost`: a connection to the relay daemon ended, or it did not answer in time.

What remains (OSError aside, which is our disk's or our network's) is a defect of ours and must reach the log.
"""

from enum import IntEnum
from typing import Self


class Code(IntEnum):
    """LTTng's error numbers, as they stand in ``lttng/lttng-error.h`` of lttng-tools 2.13."""

    OK = 10
    UNKNOWN = 11
    UNDEFINED_COMMAND = 12
    UNKNOWN_DOMAIN = 14
    NOT_SUPPORTED = 15
    NO_SESSION = 16
    CREATE_DIR_FAIL = 17
    NO_SESSIOND = 19
    SET_URL = 20
    URL_EXIST = 21
    SESSION_NOT_FOUND = 23
    BUFFER_TYPE_MISMATCH = 24
    FATAL = 25
    NOMEM = 26
    SELECT_SESSION = 27
    SESSION_EXISTS = 28
    NO_EVENT = 29
    CONNECT_FAIL = 30
    SNAPSHOT_OUTPUT_EXIST = 31
    PERMISSION = 32
    KERNEL_UNAVAILABLE = 33
    KERNEL_EVENT_EXISTS = 35
    KERNEL_CHANNEL_FAIL = 38
    KERNEL_ENABLE_FAIL = 43
    KERNEL_DISABLE_FAIL = 44
    KERNEL_START_FAIL = 46
    START_SESSION_ONCE = 50
    SNAPSHOT_FAIL = 51
    UST_EVENT_ENABLED = 55
    UST_CHAN_EXIST = 57
    UST_CHAN_FAIL = 58
    UST_CHAN_NOT_FOUND = 59
    UST_ENABLE_FAIL = 63
    UST_START_FAIL = 66
    SNAPSHOT_NODATA = 71
    NO_CHANNEL = 72
    SESSION_INVALID_CHAR = 73
    UST_LIST_FAIL = 74
    UST_EVENT_EXIST = 75
    UST_EVENT_NOT_FOUND = 76
    UST_CONTEXT_EXIST = 77
    UST_CONTEXT_INVAL = 78
    NEED_ROOT_SESSIOND = 79
    TRACE_ALREADY_STARTED = 80
    TRACE_ALREADY_STOPPED = 81
    NEED_CHANNEL_NAME = 83
    NO_UST = 84
    MAX_SIZE_INVALID = 90
    INVALID = 97
    URL_DATA_MISS = 101
    URL_CTRL_MISS = 102
    ENABLE_CONSUMER_FAIL = 103
    RELAYD_CONNECT_FAIL = 104
    RELAYD_VERSION_FAIL = 105
    FILTER_INVAL = 106
    FILTER_EXIST = 108
    NO_CONSUMER = 109
    EXCLUSION_INVAL = 110
    INVALID_EVENT_NAME = 112
    INVALID_CHANNEL_NAME = 113
    PROCESS_ATTR_EXISTS = 114
    PROCESS_ATTR_MISSING = 115
    INVALID_CHANNEL_DOMAIN = 116
    SESSION_NOT_STARTED = 118
    LIVE_SESSION = 119
    PER_PID_SESSION = 120
    REGEN_STATEDUMP_FAIL = 122
    NOT_SNAPSHOT_SESSION = 124
    ROTATION_PENDING = 129
    ROTATION_NOT_AVAILABLE = 130
    ROTATION_SCHEDULE_SET = 131
    ROTATION_SCHEDULE_NOT_SET = 132
    ROTATION_MULTIPLE_AFTER_STOP = 133
    NO_SESSION_OUTPUT = 135
    ROTATION_NOT_AVAILABLE_RELAY = 136
    ROTATION_FAIL_CONSUMER = 141
    CHANNEL_NOT_FOUND = 146
    SNAPSHOT_UNSUPPORTED = 147
    INVALID_PROTOCOL = 152
    FILE_CREATION_ERROR = 153
    CLEAR_RELAY_DISALLOWED = 156
    CLEAR_NOT_AVAILABLE_RELAY = 157
    CLEAR_FAIL_CONSUMER = 158
    ROTATION_AFTER_STOP_CLEAR = 159


class CommandError(Exception):
    """A user's command that cannot be carried out: LTTng's number and one sentence that says why."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence

    def to_text(self) -> str:
        """Return the error as one line, for a channel that carries only text."""
        return f"{self.code.value} {self.sentence}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Make the error anew from what `to_text` said."""
        number, _, sentence = text.partition(" ")
        return cls(Code(int(number)), sentence)


class WireError(ValueError):
    """Bytes, or a field, that cannot be the message they claim to be."""


class RelayRefused(Exception):
    """The relay daemon answered with a refusal: which question, and its LTTng error number."""

    def __init__(self, question: str, number: int) -> None:
        super().__init__(question, number)
        self.question = question
        self.number = number

    def __str__(self) -> str:
        try:
            name = Code(self.number).name
        except ValueError:
            name = "unknown error"
        return f"the relay daemon refused {self.question}: {name} ({self.number})"


class RelayLost(Exception):
    """A connection to the relay daemon is over; the text says which and why."""
