"""The lab's lessons, in English and Chinese: texts in three lengths, a glossary, flash cards, and the words of the presets.

The texts lie beside this module as JSON, so that a translator need not read code. A text is a string with a few marks:
``[words](term:decay)`` links to a term of the glossary, ``(control:lr)`` to a control of the page, ``(preset:ravine)`` to a preset;
`` `√v + ε` `` is mathematics, and ``**words**`` are strong; no mark holds another. Here they become pieces that a page shows as
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from rmsprop.dialects import dialect
from rmsprop.errors import UsageError
from rmsprop.formula import mathml

#: What the texts are in.
LANGUAGES = ("en", "zh")
#: In which lengths the lesson is told.
LENGTHS = ("short", "standard", "detailed")
#: What a term may point to: the controls and the panels of the page, by their `data-control`.
CONTROLS = (
    "land", "formula_land", "data_land", "start", "optimizer", "dialect", "lr", "decay", "eps", "eps_place", "momentum", "nesterov",
    "centered", "weight_decay", "weight_decay_form", "square_init", "bias_correction", "schedule", "noise", "seed", "steps",
    "play", "step_back", "step_forward", "speed", "scrub", "landscape", "loss", "memory", "arithmetic", "table", "presets", "share",
    "export", "surface3d",
)  # fmt: skip

_MARK = re.compile(
    r"\[(?P<words>[^\]]+)\]\((?P<kind>term|control|preset):(?P<to>[a-z0-9_-]+)\)|`(?P<math>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*"
)


@cache
def written(lang: str) -> dict[str, Any]:
    """Return the texts of a language as they are written.

    Args:
        lang: one of `LANGUAGES`.

    Raises:
        UsageError: there are no texts in it.
    """
    if lang not in LANGUAGES:
        raise UsageError(f"lang must be one of {', '.join(LANGUAGES)}, got {str(lang)[:20]!r}")
    text = files("rmsprop.lab").joinpath("learn", f"{lang}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def learn(lang: str) -> dict[str, Any]:
    """Return the lessons of a language, for a page to show.

    Args:
        lang: one of `LANGUAGES`.

    Returns:
        "lessons": for each of `LENGTHS` its sections, each with an id, a title ("" where it has none) and blocks; a block is
        {"kind": "text", "pieces"}, {"kind": "list", "items": [pieces]} or {"kind": "formula", "dialect", "mathml"}.
        "glossary": terms with id, name, pieces, control and preset (or None). "cards": id, question and answer (pieces), term.
        A piece is {"kind": "text" | "math" | "strong", "text"} or {"kind": "term" | "control" | "preset", "text", "to"}.

    Raises:
        UsageError: there are no texts in it.
        ValueError: a text points to what is not there.

    Example:
        >>> lessons = learn("en")["lessons"]
        >>> list(lessons)
        ['short', 'standard', 'detailed']
        >>> lessons["short"]["sections"][0]["blocks"][0]["kind"]
        'text'
    """
    texts = written(lang)
    places = {"term": {term["id"] for term in texts["glossary"]}, "control": set(CONTROLS), "preset": set(texts["presets"])}

    def read(text: str) -> list[dict[str, str]]:
        return list(_pieces(text, places))

    for term in texts["glossary"]:
        _known("control", term["control"], places)
        if term.get("preset") is not None:
            _known("preset", term["preset"], places)
    for card in texts["cards"]:
        _known("term", card["term"], places)
    return {
        "lang": lang,
        "lessons": {
            length: {
                "title": texts["lessons"][length]["title"],
                "sections": [
                    {**section, "blocks": [_block(block, read) for block in section["blocks"]]}
                    for section in texts["lessons"][length]["sections"]
                ],
            }
            for length in LENGTHS
        },
        "glossary": [
            {
                "id": term["id"],
                "name": term["name"],
                "pieces": read(term["text"]),
                "control": term["control"],
                "preset": term.get("preset"),
            }
            for term in texts["glossary"]
        ],
        "cards": [
            {"id": card["id"], "question": read(card["question"]), "answer": read(card["answer"]), "term": card["term"]}
            for card in texts["cards"]
        ],
    }


def _block(block: str | list[str] | dict[str, str], read: Callable[[str], list[dict[str, str]]]) -> dict[str, Any]:
    """Return a block as a page shows it: a paragraph, a list, or the formula of a dialect, printed from the rule itself."""
    if isinstance(block, str):
        return {"kind": "text", "pieces": read(block)}
    if isinstance(block, list):
        return {"kind": "list", "items": [read(item) for item in block]}
    return {"kind": "formula", "dialect": block["formula"], "mathml": mathml(dialect(block["formula"]))}


def _pieces(text: str, places: dict[str, set[str]]) -> Iterator[dict[str, str]]:
    """Yield the pieces of a text with marks."""
    end = 0
    for mark in _MARK.finditer(text):
        if mark.start() > end:
            yield {"kind": "text", "text": text[end : mark.start()]}
        end = mark.end()
        if mark["math"] is not None:
            yield {"kind": "math", "text": mark["math"]}
        elif mark["strong"] is not None:
            yield {"kind": "strong", "text": mark["strong"]}
        else:
            _known(mark["kind"], mark["to"], places)
            yield {"kind": mark["kind"], "text": mark["words"], "to": mark["to"]}
    if end < len(text):
        yield {"kind": "text", "text": text[end:]}


def _known(kind: str, to: str, places: dict[str, set[str]]) -> None:
    """Refuse a link that leads nowhere."""
    if to not in places[kind]:
        raise ValueError(f"a text points to the {kind} {to!r}, which is not there")
