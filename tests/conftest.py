"""What all tests run under."""

import signal


def pytest_configure() -> None:
    """A shell starts ``make test &`` with SIGINT ignored; the programs that tests interrupt would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
