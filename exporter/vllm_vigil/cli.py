"""The command line: `vigil run`, and what a person asks before and after.

Exit codes: 0 good, 1 found trouble, 2 bad usage or configuration, 3 another instance holds the state directory.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from vllm_vigil import __version__, log_output
from vllm_vigil.commands import probe_options
from vllm_vigil.commands.words import add_catalogue, add_export, add_report, sentence
from vllm_vigil.config.load import Recipe
from vllm_vigil.config.overlay import Given
from vllm_vigil.errors import UsageError, VigilError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give its exit code."""
    try:
        _bear_any_character()
        options, more = parser().parse_known_args(arguments)
        if more:
            raise UsageError(_not_taken(options.name, more))
        log_output.configure("warning", "human", sys.stderr)  # `vigil run` sets what its configuration asks for
        code: int = options.command(options)
        print(end="", flush=True)  # what cannot be written is known here, and not after the last chance to say so
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        _drop_output()  # the reader has gone, as `| head` does
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        print("vigil: cannot write to standard output: no space left where it leads to", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _drop_output() -> None:
    """What is still held for standard output is not tried again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _bear_any_character() -> None:
    """A path may hold what the terminal's encoding lacks: it is then written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _not_taken(name: str, more: Sequence[str]) -> str:
    hint = "" if more[0].startswith("-") else " (a configuration file is given with --config)"
    return f"{name} does not take {shlex.join(more)}{hint}: `vigil {name} --help` says what it takes"


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="vigil",
        description="Watches a vLLM server: stable metrics, incidents from logs, pages that come once and resolve.",
        epilog="Exit codes: 0 good, 1 found trouble, 2 bad usage or configuration, 3 another instance is running here.",
    )
    top.add_argument("--version", action="version", version=f"vllm-vigil {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="name", required=True)
    for add in (
        _run,
        _check,
        _doctor,
        _replay,
        _incidents,
        _outbox,
        _silence,
        _test_notify,
        add_catalogue,
        add_export,
        add_report,
        _probe,
        _demo,
    ):
        add(commands)
    return top


def recipe(options: argparse.Namespace) -> Recipe:
    """How the configuration is loaded with these options."""
    flags = Given(
        "flag --{}",
        options.vllm,
        options.log,
        options.notify,
        listen=options.listen,
        state_dir=options.state_dir,
        stdin=getattr(options, "stdin", None),
    )
    return Recipe(options.config, flags, os.environ)


# --- one function per command: its words and options; the module that does it is imported when it is called, because
# --- `vigil check` need not pay for what `vigil run` uses

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no public name


def _run(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.run import run

        return run(recipe(options))

    command = _configured(commands, "run", "watch: the sidecar itself", call)
    text = "read the server's log from standard input too, and pass it on: vllm serve 2>&1 | vigil run --stdin"
    command.add_argument("--stdin", nargs="?", const="", metavar="NAME", help=text)


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

        return replay(options.files, recipe(options), options.rules, as_json=options.json)

    command = _configured(commands, "replay", "print the events and incidents that logs would have raised", call)
    command.add_argument("files", nargs="+", metavar="FILE", help="a log, plain or .gz; - for standard input")
    command.add_argument(
        "--rules", type=Path, metavar="FILE", help="rules: and patterns: to try, on top of those of the configuration"
    )
    _json(command)


def _incidents(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands import state

        if options.action == "list":
            return state.list_incidents(recipe(options), as_json=options.json)
        if options.action == "resolve":
            return state.resolve_incidents(recipe(options), options.keys, as_json=options.json)
        if len(options.keys) != 1:
            raise UsageError("say which incident to show, one: `vigil incidents` lists the keys")
        return state.show_incident(recipe(options), options.keys[0], as_json=options.json)

    text = "list the incidents, newest first, show one with what led to it, or have the sidecar resolve open ones"
    command = _configured(commands, "incidents", text, call)
    command.add_argument("action", nargs="?", choices=["list", "show", "resolve"], default="list")
    command.add_argument("keys", nargs="*", metavar="KEY", help="the incident to show, or those that are over")
    _json(command)


def _outbox(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands import state

        if options.action == "list":
            return state.list_outbox(recipe(options), as_json=options.json)
        act = {"retry": state.retry, "drop": state.drop}[options.action]
        return act(recipe(options), options.ids, as_json=options.json)

    text = "list the notifications that wait to be delivered, oldest first; try them now, or drop them"
    command = _configured(commands, "outbox", text, call)
    command.add_argument("action", nargs="?", choices=["list", "retry", "drop"], default="list")
    command.add_argument("ids", nargs="*", type=int, metavar="ID", help="rows to retry (without: all) or to drop")
    _json(command)


def _silence(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands import silence

        match options.action:
            case "add":
                return silence.add(
                    recipe(options),
                    options.words,
                    duration=options.duration,
                    author=options.author,
                    comment=options.comment,
                )
            case "expire":
                return silence.expire(recipe(options), [_number(word) for word in options.words])
            case _:
                return silence.list_silences(recipe(options), as_json=options.json)

    text = "tell nobody of some incidents for a while (they are recorded), list such silences, or end one"
    command = _configured(commands, "silence", text, call)
    command.add_argument("action", nargs="?", choices=["list", "add", "expire"], default="list")
    words = "add: what an incident must agree with, NAME=VALUE (server, rule, severity or a label); expire: ids"
    command.add_argument("words", nargs="*", metavar="WORD", help=words)
    command.add_argument("--for", dest="duration", default="1h", metavar="TIME", help="how long, such as 30m (1h)")
    command.add_argument("--author", metavar="NAME", help="who asks for it (the user)")
    command.add_argument("--comment", default="", metavar="TEXT", help="why")
    _json(command)


def _test_notify(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.test_notify import test_notify

        return test_notify(recipe(options), options.channel, explain=options.explain, as_json=options.json)

    command = _configured(commands, "test-notify", "send a marked test through the channels", call)
    command.add_argument("--explain", action="store_true", help="send nothing: print what would leave the host")
    _json(command)
    command.add_argument("--channel", action="append", default=[], metavar="NAME", help="only this one (repeatable)")


def _probe(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.probe import Asked, probe

        return probe(Asked(**{name: getattr(options, name) for name in Asked.__slots__}))

    command = commands.add_parser("probe", help=probe_options.TEXT, description=sentence(probe_options.TEXT))
    probe_options.declare(command)
    command.set_defaults(command=call)


def _demo(commands: Commands) -> None:
    def call(options: argparse.Namespace) -> int:
        from vllm_vigil.commands.demo import demo

        return demo(options.port, options.directory)

    text = "play two vLLMs and four GPUs that live through trouble, to watch the sidecar at work without any"
    command = commands.add_parser("demo", help=text, description=sentence(text))
    command.add_argument("--port", type=int, default=18000, help="the first one's port, the other has the next (18000)")
    text = "where logs, machine file and vigil.yaml are written, the configuration with which a sidecar watches it"
    command.add_argument("--directory", type=Path, required=True, metavar="DIR", help=text)
    command.set_defaults(command=call)


def _configured(commands: Commands, name: str, text: str, call: Command) -> argparse.ArgumentParser:
    """A command that reads the configuration."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=sentence(text))
    places = "configuration file (else $VIGIL_CONFIG, vigil.yaml here, /etc/vllm-vigil/vigil.yaml)"
    command.add_argument("--config", type=Path, metavar="FILE", help=places)
    for flag, value, words in (
        ("--vllm", "[NAME=]URL", "a vLLM server (repeatable, or $VIGIL_VLLM)"),
        ("--log", "[NAME=]PATH", "its log (repeatable, glob, or $VIGIL_LOG)"),
        ("--notify", "URL", "an Apprise URL to tell (repeatable, or $VIGIL_NOTIFY)"),
    ):
        command.add_argument(flag, action="append", default=[], metavar=value, help=words)
    command.add_argument("--listen", metavar="HOST:PORT", help="address of our HTTP side (127.0.0.1:9877)")
    command.add_argument("--state-dir", metavar="DIR", help="where positions, incidents and the outbox are kept")
    command.set_defaults(command=call)
    return command


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no id: `vigil silence list` shows them") from error


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON object a line")
