"""Comments on properties of leads for which a record has no field, such as filters."""

from __future__ import annotations

from collections.abc import Sequence


def lead_comments(name: str, leads: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """Return a comment for each text, with the leads that have it unless all have it.

    Args:
        name: name of the property.
        leads: names of the leads.
        texts: the property of each; empty where there is none.
    """
    by_text: dict[str, list[str]] = {}
    for lead, text in zip(leads, texts, strict=True):
        by_text.setdefault(text, []).append(lead)
    if len(by_text) == 1:
        return (f"{name}: {texts[0]}",) if texts[0] else ()
    return tuple(f"{name} of {', '.join(of_text)}: {text}" for text, of_text in by_text.items() if text)
