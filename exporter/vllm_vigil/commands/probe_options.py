"""The options of `vigil probe`. They import nothing of what they are for, so that other commands do not pay for it."""

from __future__ import annotations

import argparse
from pathlib import Path

TEXT = (
    "ask a server a suite of prompts and check the answers, before it takes traffic; or measure it under a bounded load"
)
EPILOG = "Exit codes: 0 all is as expected, 1 a check is not met or a request failed, 2 bad usage or a bad suite."


def declare(command: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    command.epilog = EPILOG
    command.add_argument("--url", default="http://127.0.0.1:8000", help="the server (http://127.0.0.1:8000)")
    command.add_argument(
        "--suite", type=Path, metavar="FILE", help="prompts and checks, see docs/probe.md; without: one token"
    )
    command.add_argument("--model", metavar="NAME", help="else the suite's, else the first that the server names")
    command.add_argument("--bearer-file", type=Path, metavar="FILE", help="file that holds the server's token")
    command.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates that sign the server's")
    command.add_argument(
        "--header", dest="headers", action="append", default=[], metavar="'NAME: VALUE'", help="(repeatable)"
    )
    command.add_argument(
        "--requests", type=int, metavar="N", help="load: ask N times in all, prompts in turn, no checks"
    )
    command.add_argument("--concurrency", type=int, metavar="N", help="so many at a time (8)")
    command.add_argument("--answers", action="store_true", help="show the answers too")
    command.add_argument("--json", dest="as_json", action="store_true", help="one JSON object a line")
