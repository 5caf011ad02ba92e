"""Every word of a message, in each language: the same keys with the same numbers in them. Tables, nothing else.

The titles and remedies of incidents are those of the rules, whose language is that of who wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Language(StrEnum):
    """In which messages are written."""

    EN = "en"
    KO = "ko"


EN = {
    # why it is told
    "first": "{severity}",
    "more": "{severity}, cause found",
    "repeat": "{severity}, still open",
    "resolved": "RESOLVED",
    "passed": "HAPPENED AND RECOVERED",
    "failover": "{severity}, not delivered elsewhere",
    "lost": "{severity}, undeliverable elsewhere",
    "digest": "{severity}, digest",
    "test": "TEST, nothing is wrong",
    "critical": "CRITICAL",
    "warning": "WARNING",
    "info": "INFO",
    # what, where, since when
    "many": "{count} incidents",
    "on": "{title} on {server}",
    "since": "{subject}, since {at}",
    "after": "{subject}, after {span}",
    "rule": "Rule {rule}",
    "open": "Open for {span}, seen {times}, last at {at}",
    "lasted": "Lasted {span}, from {at}, seen {times}",
    "span": "From {at}, for {span}; each is in vigil incidents",
    "once": "once",
    "times": "{count} times",
    # numbers
    "kv_cache": "KV cache {value}",
    "running": "{value} running",
    "waiting": "{value} waiting",
    "gpu_memory": "GPU memory {value}",
    "started": "last start {value}",
    "vllm": "vLLM {value}",
    # what to do
    "do": "Do first: {remedy}",
    "runbook": "Runbook: {url}",
    "page": "Page: {url}",
    "look": "Look closer: vigil incidents show {key}",
    "bundle": "Recorded: {path}",
    "note": "Note: {note}",
    "key": "Key {key}, attempt {attempt}",
    "log": "Log:",
}

KO = {
    "first": "{severity}",
    "more": "{severity}, 원인 확인",
    "repeat": "{severity}, 아직 진행 중",
    "resolved": "해결됨",
    "passed": "발생 후 복구됨",
    "failover": "{severity}, 다른 채널로 전달되지 않음",
    "lost": "{severity}, 다른 채널이 거부함",
    "digest": "{severity}, 요약",
    "test": "테스트, 이상 없음",
    "critical": "심각",
    "warning": "경고",
    "info": "정보",
    "many": "인시던트 {count}건",
    "on": "{server}: {title}",
    "since": "{subject}, {at}부터",
    "after": "{subject}, {span} 만에",
    "rule": "규칙 {rule}",
    "open": "{span} 동안 진행 중, {times} 발생, 마지막 {at}",
    "lasted": "{span} 동안 지속, {at}부터, {times} 발생",
    "span": "{at}부터 {span} 동안; 각각은 vigil incidents 참조",
    "once": "한 번",
    "times": "{count}번",
    "kv_cache": "KV 캐시 {value}",
    "running": "실행 중 {value}",
    "waiting": "대기 중 {value}",
    "gpu_memory": "GPU 메모리 {value}",
    "started": "마지막 시작 {value}",
    "vllm": "vLLM {value}",
    "do": "먼저 할 일: {remedy}",
    "runbook": "런북: {url}",
    "page": "상태 페이지: {url}",
    "look": "자세히 보기: vigil incidents show {key}",
    "bundle": "기록: {path}",
    "note": "참고: {note}",
    "key": "키 {key}, 시도 {attempt}",
    "log": "로그:",
}

WORDS: Mapping[Language, Mapping[str, str]] = {Language.EN: EN, Language.KO: KO}
