"""The house keeps its shape: imports go down, one importer per vendor package, sizes, three places that catch all."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import vllm_vigil

PACKAGE = Path(vllm_vigil.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the top down; what stands on one line is blind to each other.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"app", "demo", "log_output", "report"},
    {"config"},
    {"sources", "probe", "exposition", "verdict", "lines", "events", "incidents", "notifications", "recorder"},
    {"series", "slo", "state"},
    {"telemetry", "worker", "systemd", "endpoint"},
    {"clock", "redact", "tally"},
    {"model", "errors", "units"},
    {"measures"},
    {"__init__"},
)
LEVEL = {name: -index for index, names in enumerate(LAYERS) for name in names}

FENCES = {
    "PIL": "recorder/draw.py",
    "apprise": "notifications/channel.py",
    "bcrypt": "exposition/login.py",
    # Each asks other servers in another way, and rooms share nothing. None is imported where it is not wanted: a vLLM
    # server's page is asked for with h11 alone.
    "httpx": (
        "probe/request.py",
        "notifications/alertmanager.py",
        "notifications/heartbeat.py",
        "report/prometheus.py",
    ),
    "h11": ("exposition/connection.py", "sources/http.py"),  # a server and a client
    "hyperscan": "events/scan.py",
    "pynvml": "sources/nvml.py",
    "sqlite3": "state/disk.py",
    "watchdog": "lines/wake.py",
    "yaml": "config/document.py",
}

TABLES = {"series/vllm.py", "series/gpu.py", "events/patterns.py", "incidents/rules.py"}
LONGEST_FILE = 300
LONGEST_FUNCTION = 60
LONGEST_MEDIAN = 10

CATCH_ALL = {"sources/sampler.py", "app/alert_half.py", "notifications/sender.py"}
"""One read of one source, one record through the detector, one delivery."""

FORBIDDEN_NAMES = ("util", "helper", "common", "base", "manager", "handler", "service", "factory")


def relative(path: Path) -> str:
    """The path within the package."""
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    """The room or the module at the top of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, by its full name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            yield (
                ast.literal_eval(node.args[0]) if isinstance(node.args[0], ast.Constant) else ast.unparse(node.args[0])
            )


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_down_only_and_rooms_are_blind_to_each_other(path: Path) -> None:
    """A file imports its own room and what lies below."""
    mine = room(path)
    ours = [name.split(".") for name in imports(path) if name.split(".")[0] == "vllm_vigil"]
    theirs = {parts[1] if len(parts) > 1 else "__init__" for parts in ours} - {mine}
    assert {name for name in theirs if LEVEL[name] >= LEVEL[mine]} == set()


def test_every_room_has_its_layer() -> None:
    """A new room must say where it stands."""
    assert {room(path) for path in FILES} == set(LEVEL)


@pytest.mark.parametrize(("vendor", "importer"), FENCES.items())
def test_a_vendor_package_has_one_importer(vendor: str, importer: str | tuple[str, ...]) -> None:
    """What the vendor changes is mended in one file, or in the few that the fence names with their reason."""
    found = {relative(path) for path in FILES if any(vendor in name.split(".")[0] for name in imports(path))}
    assert found == ({importer} if isinstance(importer, str) else set(importer))


def test_everything_is_caught_in_three_places_only() -> None:
    """Expected trouble is a value, surprise is a crash."""
    found = [
        relative(path)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
    ]
    assert sorted(found) == sorted(CATCH_ALL)


@pytest.mark.parametrize("path", [path for path in FILES if relative(path) not in TABLES], ids=relative)
def test_a_file_fits_in_one_s_head(path: Path) -> None:
    """300 lines are the wall, tables excepted."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_functions_are_short() -> None:
    """60 lines are the wall, and half of them have 10 or fewer."""
    sizes = {
        f"{relative(path)}:{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION} == {}
    assert statistics.median(sizes.values()) <= LONGEST_MEDIAN


def test_names_say_what_a_thing_is() -> None:
    """No file or class is called by what it might be good for."""
    names = [path.stem for path in FILES] + [
        node.name for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)
    ]
    words = [(name, word) for name in names for word in FORBIDDEN_NAMES if word in name.lower().split("_")]
    assert words == []
