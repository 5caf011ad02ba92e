"""The command line: `vigil run`, and what a person asks before and after.

Exit codes: 0 good, 1 found trouble, 2 bad usage or configuration, 3 another instance holds the state directory.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from vllm_vigil import __version__
from vllm_vigil.config.load import Recipe
from vllm_vigil.config.overlay import Given
from vllm_vigil.errors import VigilError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give its exit code."""
    options = parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone, as `| head` does
        return 0
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="vigil",
        description="Watches a vLLM server: stable metrics, incidents from logs, pages that come once and resolve.",
        epilog="Exit codes: 0 good, 1 found trouble, 2 bad usage or configuration, 3 another instance is running here.",
    )
    top.add_argument("--version", action="version", version=f"vllm-vigil {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_run, _check, _doctor, _replay, _incidents, _outbox, _test_notify, _catalogue, _demo):
        add(commands)
    return top


def recipe(options: argparse.Namespace) -> Recipe:
    """How the configuration is loaded with these options."""
    flags = Given(
        "flag --{}", options.vllm, options.log, options.notify, listen=options.listen, state_dir=options.state_dir
    )
    return Recipe(options.config, flags, os.environ)


# --- one function per command: its words and options; the module that does it is imported when it is called, because
# --- `vigil check` need not pay for what `vigil run` uses

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no public name


def _run(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.run import run

        return run(recipe(options))

    _configured(commands, "run", "watch: the sidecar itself", call)


def _check(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.check import check

        return check(recipe(options))

    _configured(commands, "check", "check the configuration and print what is in force, and where it comes from", call)


def _doctor(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.doctor import doctor

        return doctor(recipe(options))

    _configured(commands, "doctor", "ask every source once and say what is wrong, and what to do", call)


def _replay(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.replay import replay

        return replay(options.files, recipe(options), as_json=options.json)

    command = _configured(commands, "replay", "print the events and incidents that logs would have raised", call)
    command.add_argument("files", nargs="+", metavar="FILE", help="a log, plain or .gz; - for standard input")
    _json(command)


def _incidents(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.state import list_incidents

        return list_incidents(recipe(options), as_json=options.json)

    command = _configured(commands, "incidents", "list the incidents, newest first", call)
    command.add_argument("action", nargs="?", choices=["list"], default="list")
    _json(command)


def _outbox(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.state import list_outbox

        return list_outbox(recipe(options), as_json=options.json)

    command = _configured(commands, "outbox", "list the notifications that wait to be delivered, oldest first", call)
    command.add_argument("action", nargs="?", choices=["list"], default="list")
    _json(command)


def _test_notify(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.test_notify import test_notify

        return test_notify(recipe(options), options.channel)

    command = _configured(commands, "test-notify", "send a marked test through the channels", call)
    command.add_argument("--channel", action="append", default=[], metavar="NAME", help="only this one (repeatable)")


def _catalogue(commands: Commands) -> None:
    def call(_: argparse.Namespace) -> int:
        from vllm_vigil.series.catalogue import markdown

        print(markdown(), end="")
        return 0

    command = commands.add_parser("catalogue", help="print every series that is exported (Markdown)")
    command.set_defaults(command=call)


def _demo(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.demo import demo

        return demo(options.port, options.log)

    text = "play a stand-in vLLM that lives through trouble, to watch the sidecar at work without vLLM or GPU"
    command = commands.add_parser("demo", help=text, description=text)
    command.add_argument("--port", type=int, default=18000, help="the port it serves on (18000)")
    command.add_argument("--log", type=Path, required=True, metavar="PATH", help="the log that it writes")
    command.set_defaults(command=call)


def _configured(commands: Commands, name: str, text: str, call: Command) -> argparse.ArgumentParser:
    """A command that reads the configuration."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:])
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration file (else $VIGIL_CONFIG, vigil.yaml)"
    )
    command.add_argument("--vllm", action="append", default=[], metavar="[NAME=]URL", help="a vLLM server (repeatable)")
    command.add_argument("--log", action="append", default=[], metavar="[NAME=]PATH", help="its log (repeatable, glob)")
    command.add_argument(
        "--notify", action="append", default=[], metavar="URL", help="an Apprise URL to tell (repeatable)"
    )
    command.add_argument("--listen", metavar="HOST:PORT", help="address of our HTTP side (127.0.0.1:9877)")
    command.add_argument("--state-dir", metavar="DIR", help="where positions, incidents and the outbox are kept")
    command.set_defaults(command=call)
    return command


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON object a line")
