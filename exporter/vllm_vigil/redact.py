"""Hostile text -> text that may be stored, shown and sent: one line, without secrets, prompts or control characters.

`mask` is for everything that leaves a log, a label or a webhook. `defuse` is for what is then sent to people: what a
chat program would make of it (a mention, a link, markup) becomes plain text; it comes last, because it adds
characters that `mask` takes away. `template` is `mask` without what varies, the key under which unknown errors are
counted together.

Every pattern starts at a fixed word or at the start of a run of its own characters, and never gives back what it
took (`*+`), so the time is linear in the text. Text beyond `WINDOW` characters is cut before it is searched, at a
space, so that no half of a secret is left to be missed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

WINDOW = 8192
MARK = "[redacted]"

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])(?:[^\x07\x1b\x9c]*+(?:\x07|\x1b\\|\x9c))?"  # OSC, DCS, ...: titles, links
    r"|\x1b[ -/]*+[0-~]?"
)
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_INVISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f"
    r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
_SURROGATES = re.compile(r"[\ud800-\udfff]")

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?)"""
_BARE = r"""[^\s,;&"'<>(){}\[\]]++"""

_NAMES = re.compile(r"(?:GPU|MIG)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|vigil-[0-9a-f]{16}(?![0-9a-f])")
"""NVML's name of a GPU and ours of an incident: no secrets, and what a person needs to find them."""

Replacement = str | Callable[[re.Match[str]], str]


def _random_text(match: re.Match[str]) -> str:
    """Tell a random run from a path or a name: it changes between a, A and 0 far more often than words do."""
    run = match[0]
    kinds = ["0" if c.isdigit() else "A" if c.isupper() else "a" for c in _NAMES.sub("", run) if c.isalnum()]
    changes = sum(a != b for a, b in itertools.pairwise(kinds))
    return MARK if changes > 0.35 * len(kinds) or run.endswith("=") else run


def _kept(match: re.Match[str]) -> str:
    """What names the secret stays."""
    return match[1] + MARK


_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], Replacement], ...] = tuple(
    (tuple(words.split()), re.compile(pattern, flags), replacement)
    for words, pattern, flags, replacement in (  # the words, of which a match must hold one, are in lower case
        # prompts and answers: what stands after these names is somebody's text, to the closing quote or to the end
        ("received", r"(Received request [^\s:]++: prompt: ).*+", re.DOTALL, _kept),
        ("prompt_token_ids", r"(prompt_token_ids[\"']?\s*+[:=]\s*+)\[[\d\s,.…]*+\]?", 0, _kept),
        (
            "prompt message content text input output completion",
            (
                r"(?<![A-Za-z_])((?:prompts?|messages|contents?|(?:prompt_|input_|output_|generated_)?text|inputs?"
                r"|input_value|outputs?|completion)"
                rf"[\"']?\s*+[:=]\s*+)(?:{_QUOTED}|[\[{{(]+\s*+[\"'{{].*+)"
            ),
            re.DOTALL | re.IGNORECASE,
            _kept,
        ),
        # addresses that are secrets themselves
        (
            "slack office discord telegram",
            (
                r"((?:slack(?:-gov)?\.com/(?:services|workflows|triggers)|webhook\.office\.com"
                r"|discord(?:app)?\.com/api/(?:v\d++/)?webhooks)/|api\.telegram\.org/bot)\S++"
            ),
            re.IGNORECASE,
            _kept,
        ),
        (
            "://",
            (
                r"(?<!\w)((?:slack|pagerduty|discord|tgram|msteams|workflows|mailtos?|ntfys?|gotifys?|jsons?|opsgenie"
                r"|matrixs?|ilert|goalerts?|incidentio|pagertree|signl4|squadcast|splunk|victorops)://)\S++"
            ),
            re.IGNORECASE,
            _kept,
        ),
        ("://", r"(://)[^\s/?#]*@", 0, rf"\1{MARK}@"),
        # credentials by name
        ("bearer", r"\b(bearer\s++)[\w.~+/=-]{6,}+", re.IGNORECASE, _kept),
        (
            "authorization",
            r"(authorization[\"']?\s*+[:=]\s*+[\"']?)(?:(?:basic|digest|token|bearer)\s++)?(?:\[redacted\]|[^\s,\"']++)",
            re.IGNORECASE,
            _kept,
        ),
        (
            "key token passw passphrase secret credential",
            (
                r"((?:api[_-]?keys?|token|passw(?:or)?d|passphrase|secret(?:[_-]?(?:access[_-]?)?key)?|access[_-]?key"
                rf"|credentials?)[\"']?\s*+[:=]\s*+)(?:\[redacted\]|\[[^\]]*+\]?|{_QUOTED}|{_BARE})"
            ),
            re.IGNORECASE,
            _kept,
        ),
        ("--", rf"(--(?:api-key|hf-token|token|password)\s++)(?:{_QUOTED}|{_BARE})", re.IGNORECASE, _kept),
        # credentials by shape
        (
            "sk- hf_ nvapi- ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xox akia asia aiza",
            (
                r"(?<![A-Za-z0-9])(?:sk-[\w-]{6,}+|hf_\w{6,}+|nvapi-[\w-]{6,}+|gh[pousr]_\w{16,}+|github_pat_\w{16,}+"
                r"|glpat-[\w-]{8,}+|xox[a-z]-[\w-]{6,}+|A[KS]IA[A-Z0-9]{12,}+|AIza[\w-]{20,}+)"
            ),
            0,
            MARK,
        ),
        ("eyj", r"(?<![\w-])eyJ[\w-]{6,}+\.[\w-]++(?:\.[\w-]*+)?", 0, MARK),
        ("@", r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++", 0, "[email]"),
        (";base64,", r"(;base64,)[\w+/=-]++", 0, _kept),
        ("", r"(?<![A-Za-z0-9])(?:0x)?[0-9a-fA-F]{32,}+(?![A-Za-z0-9])", 0, MARK),
        ("", r"(?<![\w+/-])[\w+/-]{40,}+=*+", re.ASCII, _random_text),
    )
)

_VARYING = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\"(?:[^\"\\]|\\.)*+\"|(?<!\w)'(?:[^'\\]|\\.)*+'", "<str>"),
        (r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9a-fA-F])", "<uuid>"),
        (r"(?<![\w/])(?:[\w.-]++)?(?:/[\w.@+=-]++){2,}+/?", "<path>"),
        (r"0x[0-9a-fA-F]++|(?<![A-Za-z0-9])(?=[a-f]*+\d)[0-9a-f]{8,}+(?![A-Za-z0-9])", "<hex>"),
        (r"\d++(?:\.\d++)*+", "<num>"),
    )
)

_MENTION = re.compile(r"@(?=[\w!&])")
_DOUBLED = re.compile(r"([*~|])(?=\1)|(?<=\])(?=\()")
_INERT = str.maketrans({"<": "\u2039", ">": "\u203a", "`": "'"})
_GAP = "\u200b"


def mask(text: str, limit: int = 300) -> str:
    """One line of at most `limit` characters without secrets, prompts, control, bidi and invisible characters.

    Line breaks and tabs become one space, so that masked text cannot forge a second line of a log.
    """
    text = _printable(_window(text))
    plain = text.lower() if text.isascii() else None  # other scripts have letters that pass for ours in any case
    for words, pattern, replacement in _SECRETS:
        if plain is None or not words or any(map(plain.__contains__, words)):
            text = pattern.sub(replacement, text)
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"[:limit]


def defuse(text: str) -> str:
    """The text with everything dead that a chat program, a mail reader or a terminal would act on.

    `<@U1>`, `<!channel>`, `<url|label>` and HTML lose their angle brackets, `@everyone` is broken after the `@`,
    addresses are written `https[:]//`, back-ticks and doubled marks (`**`, `||`, `](`) are broken. Line breaks stay.
    """
    text = "\n".join(_printable(line) for line in text.split("\n"))
    text = text.translate(_INERT).replace("://", "[:]//")
    return _DOUBLED.sub(rf"\g<0>{_GAP}", _MENTION.sub(f"@{_GAP}", text))


def template(text: str, limit: int = 200) -> str:
    """The masked text with quoted texts, ids, paths and numbers as `<str>`, `<uuid>`, `<path>`, `<hex>`, `<num>`."""
    text = mask(text, WINDOW)
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text[:limit]


def _window(text: str) -> str:
    """The part that is searched: cut at a space, because half a secret looks like none."""
    if len(text) <= WINDOW:
        return text
    return (_BREAKS.sub(" ", text[:WINDOW]).rpartition(" ")[0] or MARK) + " …"


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text.strip()
    text = _BREAKS.sub(" ", _ESCAPES.sub("", text))
    return _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text)).strip()
