"""An answer is held against what is expected of it, and what it does not meet is said without a word of it."""

from __future__ import annotations

from typing import Any

import pytest

from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.probe.checks import PromptSettings, repetition, unmet
from vllm_vigil.units import Seconds

PROSE = (
    "The lighthouse keeper climbed the stairs each evening, lit the lamp, and wrote down which ships had passed. "
    "In forty years he missed one night, when a storm had taken the bridge, and that night a brig was lost. "
    "Nobody blamed him, but he kept the page empty, and showed it to every boy who came to learn the trade."
)
KOREAN = (
    "등대지기는 매일 저녁 계단을 올라 등불을 켜고 지나간 배를 적었다. "
    "마흔 해 동안 하룻밤을 걸렀는데 그날 폭풍이 다리를 앗아 갔다."
)
CHINESE = "守灯人每天傍晚登上楼梯点亮灯火记下驶过的船只四十年里他只缺席过一夜那天暴风雨冲毁了桥梁"


def answer(text: str = "The capital is Paris.", **changed: Any) -> Answer:
    """One that came to a good end."""
    values: dict[str, Any] = {"outcome": Outcome.OK, "duration_seconds": 1.5, "first_token_seconds": 0.4, "text": text}
    return Answer(**values | changed)


@pytest.mark.parametrize(
    ("expected", "check", "words"),
    [
        ({"must_contain": ("Paris",)}, "", ""),
        ({"must_contain": ("Paris", "Lyon")}, "must_contain", "'Lyon' is not in it"),
        ({"must_not_contain": ("Lyon",)}, "", ""),
        ({"must_not_contain": ("capital",)}, "must_not_contain", "'capital' is in it"),
        ({"must_match": (r"\bParis\b", "(?i)PARIS")}, "", ""),
        ({"must_match": (r"^\d+$",)}, "must_match", r"'^\\d+$' matches nothing in it"),
        ({"must_not_match": (r"(?i)as an ai",)}, "", ""),
        ({"must_not_match": ("P.ris",)}, "must_not_match", "'P.ris' matches in it"),
        ({"longest": Seconds(1.5)}, "", ""),
        ({"longest": Seconds(1.0)}, "longest", "it took 1.50 s, longer than 1s"),
        ({"first_token": Seconds(0.4)}, "", ""),
        ({"first_token": Seconds(0.25)}, "first_token", "its first token took 0.40 s, longer than 0.25s"),
        ({"min_characters": 21, "max_characters": 21}, "", ""),
        ({"min_characters": 22}, "min_characters", "it has 21 characters, fewer than 22"),
        ({"max_characters": 20}, "max_characters", "it has 21 characters, more than 20"),
        ({"repetition": 0.0}, "", ""),
    ],
)
def test_each_check_tells_what_is_not_met(expected: dict[str, Any], check: str, words: str) -> None:
    """And says nothing of what is."""
    found = unmet(answer(), PromptSettings(prompt="?", **expected))
    assert ([(check, words)] if check else []) == [(each.check, each.words) for each in found]


def test_every_check_that_is_not_met_is_told() -> None:
    """Not only the first."""
    found = unmet(answer("No."), PromptSettings(prompt="?", must_contain=("a", "b"), min_characters=9))
    assert ["must_contain", "must_contain", "min_characters"] == [each.check for each in found]


def test_an_answer_without_an_end_is_judged_by_that_alone() -> None:
    """Half an answer lacks many words."""
    found = unmet(
        answer("The", outcome=Outcome.TIMEOUT, error="its end did not come within 1s"),
        PromptSettings(prompt="?", must_contain=("Paris",)),
    )
    assert [("answer", "its end did not come within 1s")] == [(each.check, each.words) for each in found]


@pytest.mark.parametrize("text", [PROSE, KOREAN, CHINESE, "Paris.", "", "   ", "no no no no"])
def test_plain_answers_do_not_repeat_themselves(text: str) -> None:
    """With and without spaces, and short ones."""
    assert repetition(text) < 0.1


@pytest.mark.parametrize(
    "text", ["the day " * 50, "!" * 200, "好的" * 60, "one two three four five " * 20, "a b c d e " * 9]
)
def test_a_loop_is_told_from_prose(text: str) -> None:
    """Words, characters and single signs."""
    assert repetition(text) > 0.8
    assert ["repetition"] == [each.check for each in unmet(answer(text), PromptSettings(prompt="?", repetition=0.5))]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"must_match": ("(",)}, "must_match"),
        ({"must_not_match": ("*a",)}, "must_not_match"),
        ({"longest": Seconds(0.0)}, "longest"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"repetition": 1.0}, "repetition"),
        ({"temperature": 3.0}, "temperature"),
        ({"min_characters": 9, "max_characters": 8}, "min_characters"),
    ],
)
def test_what_no_answer_could_meet_is_found_before_anything_is_asked(wrong: dict[str, Any], field: str) -> None:
    """With the field that is wrong."""
    assert [field] == [name for name, _ in PromptSettings(prompt="?", **wrong).problems()]
