"""Hostile text -> text that may be stored, shown and sent. Placeholder: `mask` is written by its own change."""

from __future__ import annotations


def mask(text: str, limit: int = 300) -> str:
    """Text without secrets, prompts and control characters, cut to `limit` characters."""
    return text[:limit]
