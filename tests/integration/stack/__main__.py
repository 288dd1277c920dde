"""The real stack by hand."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from . import StackError, down, running, status, up


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it, leave it running and print its environment variables")
    commands.add_parser("down", help="end it, and what killed runs left behind")
    commands.add_parser("status", help="print its environment variables; exit 1 if it is not up")
    run = commands.add_parser("run", help="run a command with a stack of its own")
    run.add_argument("argv", nargs="+", metavar="CMD")
    arguments = parser.parse_args()
    try:
        if arguments.command == "run":
            with running() as environment:
                return subprocess.run(arguments.argv, env={**os.environ, **environment}).returncode
        if arguments.command == "down":
            down()
            return 0
        environment = up() if arguments.command == "up" else status()
    except StackError as error:
        sys.exit(str(error))
    if not environment:
        sys.exit("the stack is not up")
    sys.stdout.write(" ".join(f"{name}={value}" for name, value in environment.items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
