"""The agents inside programs with loggers (Python, JUL, log4j), as the session daemon knows them."""
