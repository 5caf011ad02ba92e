"""A real vLLM on the CPU, installed by scripts/real-vllm."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from standins.program import free_port, until

START_SECONDS = 240.0
ENGINE_TITLE = b"VLLM::EngineCore"


class RealVllm:
    """A vLLM server on a port of its own, its log in a file, with a toy model and made-up weights.

    Its arithmetic stays on one core; what is told to it, and everything else, has the others.
    """

    def __init__(self, home: Path, directory: Path, core: int = 0) -> None:
        self._home = home
        self._core = core
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "vllm.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a process group of its own unless it runs, and return when it serves."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._started()
        until(START_SECONDS, "vLLM serves", self.serves)

    def _started(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": str(self._core),
            "VLLM_SERVER_DEV_MODE": "1",  # for /sleep and /wake_up
        }
        options = ["--load-format", "dummy", "--max-model-len", "512", "--max-num-seqs", "2", "--enforce-eager"]
        # With bfloat16 its attention takes AMX where the CPU has it, and dies of SIGILL where nobody allowed it to.
        options += ["--dtype", "float32"]
        # nice: its spinning threads would otherwise keep the sidecar waiting for a core for seconds on a small machine
        command = [
            "nice",
            "-n",
            "10",
            str(self._home / "bin" / "vllm"),
            "serve",
            str(self._home / "model"),
            "--served-model-name",
            "tiny",
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, "--port", str(self.port), *options],
                stdout=log,
                stderr=log,
                env=environment,
                process_group=0,  # and not a session: a kernel that groups by session lets it starve the rest
            )

    def serves(self) -> bool:
        """Whether /health says 200; fails at once if the process has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-4000:]
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metrics(self) -> str:
        """Its own page."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def version(self) -> str:
        """What it says it is."""
        with urllib.request.urlopen(f"{self.url}/version", timeout=10) as answer:
            text: str = json.load(answer)["version"]
            return text

    def complete(self, tokens: int, prompt: str = "the day") -> None:
        """Ask for so many tokens, and wait for them; an engine that dies meanwhile is no error here."""
        request = urllib.request.Request(
            f"{self.url}/v1/completions", data=_question(tokens, prompt), headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                answer.read()
        except (OSError, urllib.error.HTTPError):
            return

    def connected(self, clients: int, tokens: int) -> list[http.client.HTTPConnection]:
        """So many clients that have asked and wait; whoever closes a connection has hung up."""
        connections = []
        for _ in range(clients):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request("POST", "/v1/completions", _question(tokens), {"Content-Type": "application/json"})
            connections.append(connection)
        return connections

    def tell(self, path: str) -> None:
        """POST, and nothing else."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}", method="POST"), timeout=60):
            return

    def health(self) -> int | None:
        """What its own /health says, None if nothing does."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    @contextlib.contextmanager
    def busy(self, clients: int, tokens: int) -> Iterator[None]:
        """Work that never runs out, however fast the machine: so many clients, each asking again once it is answered.

        Whoever waits at the end waits on: a client does not hang up because the test goes on.
        """
        left = threading.Event()

        def ask_on() -> None:
            while not left.wait(0.05):  # which spares a server that refuses
                self.complete(tokens)

        for _ in range(clients):
            threading.Thread(target=ask_on, daemon=True).start()
        try:
            yield
        finally:
            left.set()

    def load(self, clients: int, tokens: int) -> list[threading.Thread]:
        """So many clients at once; the threads that wait for their answers."""
        threads = [threading.Thread(target=self.complete, args=(tokens,), daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        return threads

    def engine_pid(self) -> int:
        """The process titled VLLM::EngineCore that belongs to this server."""
        assert self._process is not None
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if (
                    path.read_bytes().startswith(ENGINE_TITLE)
                    and os.getpgid(int(path.parent.name)) == self._process.pid
                ):
                    return int(path.parent.name)
            except OSError:
                continue
        raise AssertionError("no process is titled VLLM::EngineCore")

    def signal_engine(self, number: signal.Signals) -> None:
        """Stop the engine, or let it go on."""
        os.kill(self.engine_pid(), number)

    def kill_engine(self) -> int:
        """`kill -9` of the engine; the exit code with which the server then ends by itself."""
        assert self._process is not None
        os.kill(self.engine_pid(), signal.SIGKILL)
        return self._process.wait(60)

    def stop(self) -> None:
        """End the whole group."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)


def _question(tokens: int, prompt: str = "the day") -> bytes:
    return json.dumps({"model": "tiny", "prompt": prompt, "max_tokens": tokens, "ignore_eos": True}).encode()
