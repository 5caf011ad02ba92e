"""One server of the play: engines, page, health, log and GPUs, moved on by the seconds that are said to have passed.

Nothing here waits or listens: `play.py` gives it time and a port, the simulation gives it time alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from vllm_vigil.demo.engine import Engine, Model
from vllm_vigil.demo.gpus import CONTEXT_BYTES, GIB, TOTAL_BYTES, Gpu
from vllm_vigil.demo.log import Log
from vllm_vigil.demo.numbers import Front
from vllm_vigil.demo.page import Page
from vllm_vigil.demo.script import Act, Mood

POOL_BYTES = int(TOTAL_BYTES * 0.92) - CONTEXT_BYTES
ASLEEP_BYTES = int(1.5 * GIB)
LOADED_IN_SECONDS = 9.0
FIGURES_SECONDS = 10.0
BLOCK_SECONDS = 60.0
STUCK = frozenset({Mood.HANGING, Mood.SPINNING})
AWAY = frozenset({Mood.DOWN, Mood.LOADING})
CLOSED = AWAY | {Mood.SHUT}


@dataclass(slots=True)
class Vllm:
    """A vLLM of so many engines; `gpus` holds those of each engine. It begins down."""

    name: str
    model: Model
    gpus: Sequence[Sequence[Gpu]]
    log: Log
    chance: random.Random
    engines: list[Engine] = field(default_factory=list)
    mood: Mood = Mood.DOWN
    tells_each: bool = False
    started: float = 0.0
    grown_bytes: int = 0
    _front: Front | None = None
    _page: Page | None = None
    _figures: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    _stuck_seconds: float = 0.0
    _owed_errors: float = 0.0
    _only: int | None = None
    _shown: Callable[[str], str] | None = None

    # --- what is to be seen from outside

    @property
    def is_open(self) -> bool:
        """Whether its port answers."""
        return self.mood not in CLOSED

    @property
    def health(self) -> int:
        """The status of /health, which says 200 to a hang."""
        return 503 if self.mood is Mood.DEAD else 200

    @property
    def has_processes(self) -> bool:
        """Whether its processes are there."""
        return self.mood is not Mood.DOWN

    @property
    def answers(self) -> bool:
        """Whether a request gets tokens now."""
        return any(self.serves(index) for index in range(len(self.engines)))

    @property
    def model_name(self) -> str:
        """What it serves."""
        return self.model.name

    @property
    def context_tokens(self) -> int:
        """How long a request may be."""
        return self.model.context_tokens

    @property
    def connections(self) -> int:
        """Clients that wait for an answer."""
        return sum(len(engine.running) + len(engine.waiting) for engine in self.engines)

    def page(self) -> str:
        """The text of /metrics."""
        text = self._page.render() if self._page else ""
        if self.mood is Mood.MUTE:
            return text.replace("vllm:", "vllm_next:")
        return self._shown(text) if self._shown else text

    def serves(self, engine: int) -> bool:
        """Whether an engine takes steps."""
        return bool(self.engines) and (self.mood in (Mood.SERVING, Mood.MUTE) or self._spared(engine))

    # --- time

    def enter(self, act: Act, now: float) -> None:
        """A scene begins."""
        before, self.mood = self.mood, act.mood
        if before is Mood.DOWN and act.mood is not Mood.DOWN:
            self.started, self.grown_bytes = now, 0
            self.log.pid += 37
        if act.log:
            self.log.turn(act.log, now)
        if act.mood in AWAY:
            self._end()
        elif not self.engines:
            self._start(now)
        if act.mood is Mood.FROZEN and before is not Mood.FROZEN:
            for engine in self.engines:
                engine.abort_all()
        for engine in self.engines:
            engine.sleep(asleep=act.mood is Mood.ASLEEP)
        self._only, self._shown = act.engine, act.page
        self._stuck_seconds = 0.0

    def live(self, now: float, seconds: float, act: Act) -> None:
        """Let the seconds that end now pass."""
        if self.engines and self._front is not None:
            rate = act.rate(now) if callable(act.rate) else act.rate
            for index, engine in enumerate(self.engines):
                engine.ask(now, seconds, rate / len(self.engines), answers=act.answers, prompts=act.prompts)
                if self.serves(index):
                    slow = act.slow * (1.7 if any(gpu.is_throttled for gpu in self.gpus[index]) else 1.0)
                    engine.step(now, seconds, slow)
            self._fail(act.errors * seconds, now)
            self._write(now, seconds)
            self.grown_bytes += int(act.leak * seconds)
        self._warm(seconds)

    # --- starts and ends

    def _start(self, now: float) -> None:
        self._front = Front(now)
        self.engines = [Engine(self.model, self._front, self.chance, now) for _ in self.gpus]
        numbers = [engine.numbers for engine in self.engines]
        self._page = Page(self.model.name, numbers, self._front, self.model.kv_tokens)
        self._figures = {}

    def _end(self) -> None:
        self.engines, self._front, self._page = [], None, None

    # --- what it leaves behind

    def _spared(self, engine: int) -> bool:
        return self.mood in STUCK and self._only is not None and engine != self._only

    def _fail(self, errors: float, now: float) -> None:
        self._owed_errors += errors
        while self._owed_errors >= 1 and self._front is not None:
            self._owed_errors -= 1
            self._front.answered("/v1/completions", "5xx", 0.2)
            self.log.turn("error", now)

    def _write(self, now: float, seconds: float) -> None:
        """Figures every ten seconds; while it hangs, the line that only the engine's executor writes."""
        if self.mood in STUCK:
            before, self._stuck_seconds = self._stuck_seconds, self._stuck_seconds + seconds
            if self._stuck_seconds // BLOCK_SECONDS > before // BLOCK_SECONDS:
                self.log.turn("no_block", now)
        elif self.tells_each:
            self.log.figures(now, self._lines(now))

    def _lines(self, now: float) -> Iterator[str]:
        for index, engine in enumerate(self.engines):
            numbers = engine.numbers
            prompt, made = numbers.get("prompt_tokens_total"), numbers.get("generation_tokens_total")
            at, prompt_before, made_before = self._figures.get(index, (now, prompt, made))
            if now - at < FIGURES_SECONDS and index in self._figures:
                continue
            self._figures[index] = now, prompt, made
            spent = (now - at) or 1.0
            queries = numbers.get("prefix_cache_queries_total") or 1.0
            yield (
                f"Engine {index:03d}: Avg prompt throughput: {(prompt - prompt_before) / spent:.1f} tokens/s, "
                f"Avg generation throughput: {(made - made_before) / spent:.1f} tokens/s, "
                f"Running: {len(engine.running)} reqs, Waiting: {len(engine.waiting)} reqs, "
                f"GPU KV cache usage: {numbers.get('kv_cache_usage_perc') * 100:.1f}%, "
                f"Prefix cache hit rate: {numbers.get('prefix_cache_hits_total') / queries * 100:.1f}%"
            )

    def _warm(self, seconds: float) -> None:
        """Tell the GPUs how busy they are."""
        for index, gpus in enumerate(self.gpus):
            engine = self.engines[index] if self.engines else None
            stuck = self.mood is Mood.SPINNING and not self._spared(index)
            for gpu in gpus:
                gpu.load = min(1.0, engine.load) if engine and self.serves(index) else 0.0
                gpu.spinning = stuck
                gpu.used_bytes = self._held(gpu, seconds)

    def _held(self, gpu: Gpu, seconds: float) -> int:
        match self.mood:
            case Mood.DOWN:
                return 0
            case Mood.LOADING:
                return min(POOL_BYTES, gpu.used_bytes + int(POOL_BYTES * seconds / LOADED_IN_SECONDS))
            case Mood.ASLEEP:
                return ASLEEP_BYTES
            case _:
                return POOL_BYTES
