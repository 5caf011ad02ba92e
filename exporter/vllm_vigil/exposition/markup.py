"""Texts -> HTML that is safe by construction: what is not already `Html` is escaped, and only `tag` makes `Html`."""

from __future__ import annotations

from html import escape

VOID = frozenset({"meta"})


class Html(str):
    """Markup. Everything else that goes into a page is text."""

    __slots__ = ()


def tag(element: str, /, *children: str, **attributes: str) -> Html:
    """One element. Attribute names lose a trailing underscore (`class_`) and have `_` for `-`."""
    start = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items() if value != ""
    )
    if element in VOID:
        return Html(f"<{element}{start}>")
    return Html(f"<{element}{start}>{joined(*children)}</{element}>")


def joined(*children: str) -> Html:
    """Elements and texts one after another."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))
