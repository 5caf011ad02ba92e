"""Masking, defusing and templates of hostile text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllm_vigil import redact
from vllm_vigil.redact import MARK, WINDOW, defuse, mask, template

CANARY = "c4n4ryXq7"

SECRETS = (
    f"Authorization: Bearer {CANARY}.{CANARY}",
    f"authorization: Basic {CANARY}",
    f"{{'Authorization': 'Bearer {CANARY}'}}",
    f"headers={{'x-api-key': '{CANARY}'}}",
    f"non-default args: {{'api_key': ['{CANARY}', '{CANARY}'], 'port': 8000}}",
    f"api_key={CANARY} next",
    f'HF_TOKEN="{CANARY} with a \\" quote {CANARY}"',
    f"password: {CANARY}",
    f"AWS_SECRET_ACCESS_KEY={CANARY}",
    f"vllm serve --api-key {CANARY} --port 8000",
    f"--hf-token '{CANARY}'",
    f"key sk-{CANARY} is wrong",
    f"hf_{CANARY} cannot read the repository",
    f"xoxb-1234-{CANARY}",
    "AKIAC4N4RYXQ7ABCDEFG",
    f"eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.{CANARY}",
    f"http://user:{CANARY}@proxy:3128/x",
    f"http://user:p@{CANARY}@proxy:3128/x",
    f"GET https://host/v1?token={CANARY}&page=2",
    f"https://hooks.slack.com/services/T00/B00/{CANARY}",
    f"https://discord.com/api/webhooks/123/{CANARY}",
    f"https://api.telegram.org/bot123:{CANARY}/sendMessage",
    f"slack://T00/B00/{CANARY}/#ops",
    f"pagerduty://{CANARY}@{CANARY}",
    f"{CANARY}@example.org wrote",
    f"first.{CANARY}+tag@mail.example.co.kr wrote",
    f"data:image/png;base64,{CANARY}iVBORw0KGgo=",
    f"{CANARY}dGhpcyBpcyBhIGxvbmcgYmFzZTY0IHRleHQgb2Ygbm90aGluZw==",
    f"Received request cmpl-1: prompt: {CANARY} and so on",
    f"Received request cmpl-1: prompt: 'it\\'s {CANARY}', params: SamplingParams(n=1), prompt_token_ids: [1, 2]",
    f'Request cmpl-1 details: prompt: "{CANARY}", prompt_token_ids: None',
    f"messages=[{{'role': 'user', 'content': '{CANARY}'}}]",
    f"Input should be a valid string [type=string_type, input_value={{'content': '{CANARY}'}}, input_type=dict]",
    f'{{"prompt": "{CANARY} without an end',
    f"Generated response cmpl-1: output: '{CANARY}', output_token_ids: [5]",
    f"password={CANARY[:4]}\u200b{CANARY[4:]}",
    f"to\x1b[31mken={CANARY}",
)

HARMLESS = (
    "GPU 0 (GPU-0d8f1364-0d58-0170-c995-b1c52bc514a8) reports XID 13",
    "MIG-0d8f1364-0d58-0170-c995-b1c52bc514a8 is gone",
    "what led to the incident is kept in /tmp/tmp.yN96Jeeotj/state/bundles/vigil-c07cb6e50e5a9d1f",
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1 GiB is free.",
    'File "/usr/local/lib/python3.11/site-packages/vllm/v1/engine/core.py", line 712, in run_engine_core',
    "/models/huggingface/hub/models--Qwen--Qwen3-30B-A3B-Instruct-2507/snapshots/main/model.safetensors",
    "VLLM_FLASH_ATTN_MAX_NUM_SPLITS_FOR_CUDA_GRAPH and TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC_OVERRIDE_FOR_TESTS",
    "max_tokens=512, num_prompt_tokens: 30517, prompt: None, eos_token_id=2",
    "Avg prompt throughput: 5120.4 tokens/s, Running: 46 reqs, GPU KV cache usage: 93.7%",
    "EngineCore_DP0 died; tcp://10.0.0.1:29500 and http://127.0.0.1:8000/health do not answer",
    "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, shape '[1, 2]'",
)

HOSTILE_ATOMS = ("a", "a.", "a@", "@", "//", "://a@", "a-", "sk-", "eyJa.", "token", "token=", "token=[", "prompt: '\\",
                 "'", '"', "\\", "\x1b[", "\x1b]", "\x9b0", "0", "0x", "/a", " ", "\n", "<", "Received request ", "[{",
                 "api_key: '\\'", "authorization=", "bearer ", "=", "aA0", "*", "](")  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_a_planted_secret_never_passes(text: str) -> None:
    """Neither masked text nor a template holds any part of a planted secret."""
    for made in (mask(text), template(text)):
        assert CANARY.lower() not in made.lower()
        assert "4n4ry" not in made


@pytest.mark.parametrize("text", SECRETS + HARMLESS)
def test_masking_twice_is_masking_once(text: str) -> None:
    """What was stored masked may be masked again when it is sent."""
    assert mask(text) == mask(mask(text))


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([*SECRETS, *HARMLESS, "\u017fecret=", "toKen: ", "API_", "-", " ", "x" * 50, "é"]), max_size=4
    )
)
def test_the_words_that_a_row_is_tried_for_change_nothing(parts: list[str]) -> None:
    """In any text, also in letters of other scripts that pass for ours, every row masks as if it were always tried."""
    for text in ("".join(parts), "".join(parts).upper()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(redact, "_SECRETS", tuple(((), *row[1:]) for row in redact._SECRETS))
            always = mask(text)
        assert always == mask(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_helps_at_3_am_passes(text: str) -> None:
    """Messages, paths, names, numbers and addresses without credentials are left as they are."""
    assert text == mask(text)


def test_masked_text_is_one_printable_line() -> None:
    """Line breaks become a space; escapes, bidi and invisible characters, NUL and half characters are gone."""
    hostile = (
        "\x1b[31mred\x1b[0m\r\nforged \x1b]0;title\x07line\x9b2J\x00 \u202eevil\u2066 zero\u200bwidth "
        "\u2028next\ud800 \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x85tab\there"
    )
    expected = "red forged line evil zerowidth  next\ufffd link  tab here"
    assert expected == mask(hostile)


def test_korean_and_emoji_pass() -> None:
    """Text that is merely not English is left alone."""
    text = "메모리 부족 😀 é"
    assert text == mask(text)


@pytest.mark.parametrize("limit", [0, 1, 2, 20, 300])
def test_masked_text_is_never_longer_than_its_limit(limit: int) -> None:
    """A cut is shown, within the limit."""
    made = mask("word " * 100, limit)
    assert limit >= len(made)
    assert made.endswith("…"[:limit])


def test_a_secret_at_the_cut_is_not_half_shown() -> None:
    """Long text is cut at a space before it is searched, so a credential across the cut is dropped whole."""
    prompt = f"prompt: '{'x' * (WINDOW - 60)}'"
    text = f"{prompt} end http://user:{CANARY * 20}@host/"
    assert f"prompt: {MARK} end …" == mask(text)
    assert f"{MARK} …" == mask("y" * (WINDOW + 1))


@pytest.mark.parametrize("atom", HOSTILE_ATOMS)
def test_hostile_text_costs_linear_time(atom: str) -> None:
    """A megabyte made to upset patterns takes no longer than a few milliseconds a function."""
    text = atom * (1_000_000 // len(atom))
    begun = time.process_time()
    mask(text)
    template(text)
    defuse(text[:WINDOW])
    mask(f"{text[: WINDOW - 1]}")
    assert time.process_time() - begun < 0.5


def test_mentions_links_and_markup_are_dead() -> None:
    """Nothing is left that Slack, Discord, Telegram, a mail reader or Markdown would act on."""
    made = defuse(
        "@everyone @here @channel <!channel> <@U123> <@&42> <https://evil.example|Grafana> "
        "[click](http://evil.example) `code` **bold** ||spoiler|| <img src=x> <script>\x1b[31m\u202e\x00\ud800"
    )
    for live in ("@e", "@h", "@c", "<", ">", "@U", "@&", "://", "](", "`", "**", "||", "\x1b", "\u202e", "\x00"):
        assert live not in made
    assert "everyone" in made
    assert "https[:]//evil.example" in made
    assert made == made.encode().decode()


def test_defusing_twice_is_defusing_once() -> None:
    """A text that passes two parts is not broken twice."""
    text = "a @everyone **b** http://c\nsecond line"
    assert defuse(text) == defuse(defuse(text))


def test_defused_text_keeps_its_lines() -> None:
    """A message of several lines stays one."""
    text = "one\ntwo"
    assert text == defuse(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("GPU 0: tried 2.00 GiB at 0x7f00ab12", "GPU 13: tried 512.25 GiB at 0xdeadbeef"),
        ("request 0b1c2d3e-0000-4000-8000-000000000001 failed", "request ffffffff-1111-4111-9111-00000000000f failed"),
        ("cannot open /data/a/model.bin", "cannot open /srv/other/place/weights.safetensors"),
        ("key 'abc' not in \"x y\"", "key 'def g' not in \"z\""),
        ("block 3f9a8b7c6d lost", "block 0011aabbcc lost"),
    ],
)
def test_what_varies_is_not_in_the_template(first: str, second: str) -> None:
    """Two records of one kind of error have one template."""
    assert template(first) == template(second)


def test_a_template_reads_as_the_message() -> None:
    """The words stay, and placeholders say what stood there."""
    expected = "worker <num> lost <path> for <str> after <num>s"
    assert expected == template("worker 3 lost /a/b/c for 'x' after 2.5s")
    assert template("worker 1 lost") != template("worker 1 found")
