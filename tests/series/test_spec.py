"""A declaration checks itself."""

from __future__ import annotations

from typing import Any

import pytest

from vllm_vigil.series.spec import Kind, Spec

GOOD: dict[str, Any] = {
    "name": "llm_prompt_tokens_total",
    "kind": Kind.COUNTER,
    "unit": "tokens",
    "help": "Prompt tokens processed.",
    "labels": ("server",),
}


def test_a_good_declaration_has_no_problems() -> None:
    """What keeps the rules is made without complaint."""
    assert list(Spec(**GOOD).problems()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "llm_prompt_tokens"}, "ends in _total"),
        ({"kind": Kind.GAUGE}, "ends in _total"),
        ({"name": "prompt_tokens_total"}, "begin with llm_"),
        ({"name": "llm:prompt_tokens_total"}, "lower-case words"),
        ({"name": "llm_promptTokens_total"}, "lower-case words"),
        ({"name": "llm_config", "kind": Kind.INFO}, "_info"),
        ({"name": "llm_config_info", "kind": Kind.GAUGE}, "_info"),
        ({"name": "llm_steps_count", "kind": Kind.GAUGE}, "suffix that belongs to histograms"),
        ({"unit": "milliseconds"}, "not a base unit"),
        ({"name": "llm_wait", "kind": Kind.GAUGE, "unit": "seconds"}, "must say its unit"),
        ({"help": ""}, "sentences"),
        ({"help": "Two\nlines."}, "sentences"),
        ({"labels": ("server", "server")}, "twice"),
        ({"labels": ("instance",)}, "'instance' cannot be a label"),
        ({"labels": ("pid",)}, "'pid' cannot be a label"),
        ({"labels": ("le",)}, "'le' cannot be a label"),
    ],
)
def test_a_bad_declaration_is_refused_when_it_is_made(change: dict[str, Any], said: str) -> None:
    """Each broken rule ends the making, with the rule in the message."""
    with pytest.raises(ValueError, match=said):
        Spec(**(GOOD | change))
