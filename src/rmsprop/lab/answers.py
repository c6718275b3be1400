"""Answers as JSON: arrays among JSON's types, numbers that are not finite as null."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np


def to_json(value: Any) -> bytes:
    """Return a value as JSON.

    Args:
        value: of dicts, lists, tuples, arrays, text, numbers, bools and None.

    Example:
        >>> to_json({"a": np.array([1.0, np.inf]), "b": float("nan")})
        b'{"a":[1.0,null],"b":null}'
    """
    # Half a character, as JSON may hold it, is written as JSON's escape.
    text = json.dumps(plain(value), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def plain(value: Any) -> Any:
    """Return a value of JSON's types alone."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            held = value.astype(object)
            held[~np.isfinite(value)] = None
            return held.tolist()
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
