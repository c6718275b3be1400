"""What docs/claims.md says of two articles' claims: its tables, its pictures, and, run anew, its verdicts."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.guides import dead_links

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "claims.md"
TEXT = GUIDE.read_text(encoding="utf-8")
KEPT = json.loads((ROOT / "docs" / "claims.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def claims():
    """Return the script that tests the claims."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("claims")
    for name in ("claims", "claimed"):
        sys.modules.pop(name, None)


def test_every_claim_has_its_figures_and_its_table(claims):
    assert set(KEPT["figures"]) == set(claims.CLAIMS)
    assert set(re.findall(r"<!-- ([\w-]+) -->", TEXT)) - {"end"} == set(claims.CLAIMS)


def test_tables_are_those_of_the_figures(claims):
    assert claims.written(TEXT, KEPT["figures"]) == TEXT
    assert TEXT.count("| --- |") >= len(claims.CLAIMS)


def test_figures_are_as_the_verdicts_say(claims):
    for name, claim in claims.CLAIMS.items():
        assert claim.holds(KEPT["figures"][name]), name


def test_commands_are_those_that_the_figures_come_from(claims):
    shown = {line.removeprefix("rmsprop race ") for line in re.findall(r"^rmsprop race .*$", TEXT, re.MULTILINE)}
    ran = {claims.typed(name) for claim in claims.CLAIMS.values() for name in claim.races}
    assert shown <= ran
    assert {claims.typed(name) for name in claims.PICTURES} <= shown


def test_pictures_are_there_and_small(claims):
    for name in claims.PICTURES:
        picture = ROOT / "docs" / "images" / f"claims-{name}.png"
        assert f"(images/{picture.name})" in TEXT
        assert picture.stat().st_size < 150_000
        with Image.open(picture) as image:
            assert image.size == (1300, 720)


def test_links_lead_somewhere():
    assert dead_links(GUIDE) == []
    anchors = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


@pytest.mark.slow
def test_verdicts_hold_when_all_is_run_anew(claims, tmp_path):
    figures = claims.measured(tmp_path)
    assert [name for name, claim in claims.CLAIMS.items() if not claim.holds(figures[name])] == []
