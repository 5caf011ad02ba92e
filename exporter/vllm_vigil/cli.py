"""Placeholder: written last."""


def main() -> int:
    """Nothing yet."""
    return 0
