"""What is kept: the address that brings everything back, and the files that are taken along."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from rmsprop.lab.presets import presets
from rmsprop.lab.setup import Setup
from tests.lab.browser.lab import SCREENSHOTS


def test_a_link_brings_back_the_same_trace_and_the_same_view(opened):
    lab = opened()
    with lab.changing():
        lab.page.select_option("#land-name", "beale")
    with lab.changing():
        lab.type("lr", 0.07)
    with lab.changing():
        lab.control("noise").locator("select").select_option("gaussian")
    with lab.changing():
        lab.type("seed", 11)
    lab.page.locator("#loss-legend button").nth(1).click()
    lab.page.keyboard.press("x")
    with lab.page.expect_response("**/api/surface"):
        lab.page.click("#zoom-in")
    lab.page.select_option("#speed", "300")
    lab.page.click("#theme")
    lab.go(37)
    lab.settle()
    fragment = lab.fragment()
    other = opened(fragment)
    other.settle()
    assert other.traced == lab.traced
    assert other.step() == 37
    assert other.drawing() == lab.drawing()
    for selector, value in (("#speed", "300"), ("#arithmetic-run", "1"), ("#land-name", "beale")):
        expect(other.page.locator(selector)).to_have_value(value)
    expect(other.page.locator("html")).to_have_attribute("data-theme", "dark")
    assert other.page.locator("#arithmetic-summary").inner_text() == lab.page.locator("#arithmetic-summary").inner_text()
    assert other.fragment() == fragment


def test_pasted_data_go_along_in_the_link(opened):
    lab = opened()
    lab.preset("parabola")
    other = opened(lab.fragment())
    assert other.traced == lab.traced
    expect(other.page.locator("#preset-title")).to_have_text("Your data: a parabola")


def test_back_and_forward(lab):
    lab.preset("plateau")
    with lab.changing():
        lab.page.select_option("#land-name", "abs")
    lab.page.wait_for_timeout(400)
    with lab.changing():
        lab.page.go_back()
    expect(lab.page.locator("#preset-title")).to_have_text("Off the plateau")
    with lab.changing():
        lab.page.go_forward()
    expect(lab.page.locator("#land-name")).to_have_value("abs")


@pytest.mark.parametrize("fragment", ["#nonsense", "#AAAA", "#" + "x" * 20_000])
def test_a_broken_link_is_said_to_be_broken(opened, fragment):
    lab = opened(fragment)
    lab.expect_text("#toast", "This link could not be read; the page shows its first preset instead.")
    assert lab.traced[0]["land"]["name"] == "ravine"


def test_every_preset(lab):
    shown = set()
    for one in presets("en"):
        lab.preset(one["id"])
        expect(lab.page.locator("#preset-title")).to_have_text(one["title"])
        expect(lab.page.locator("#preset-sentence")).to_have_text(one["sentence"])
        setup, answer = lab.traced
        assert answer["setup"] == Setup.from_json(one["setup"]).to_json() == Setup.from_json(setup).to_json()
        assert lab.page.locator("#loss-legend li").count() == len(one["setup"]["runs"])
        shown.add(lab.drawing())
    assert len(shown) == len(presets("en"))


def test_every_export(opened, tmp_path):
    lab = opened(accept_downloads=True)
    with lab.changing():
        lab.type("steps", 60)

    def exported(kind):
        if not lab.page.locator("#export-dialog").is_visible():
            lab.page.click("#export")
        with lab.page.expect_download(timeout=60_000) as download:
            lab.page.click(f"#export-dialog [data-export={kind}]")
        place = tmp_path / download.value.suggested_filename
        download.value.save_as(place)
        lab.expect_text("#export-note", "Done: the file is where your browser puts downloads.")
        return place

    setup, answer = lab.traced
    rows = list(csv.reader(io.StringIO(exported("csv").read_text())))
    run = answer["runs"][0]
    assert [float(row[rows[0].index("loss")]) for row in rows[1:]] == run["loss"]
    assert [float(row[rows[0].index("p_new_y")]) for row in rows[1:]] == run["p"][1]
    told = json.loads(exported("json").read_text())
    assert Setup.from_json(told["setup"]).to_json() == Setup.from_json(setup).to_json()
    with Image.open(exported("gif")) as moving:
        assert moving.format == "GIF"
        assert moving.n_frames > 10
    with Image.open(exported("png")) as still:
        assert still.format == "PNG"
        assert still.width > 1500
        assert len(still.convert("RGB").resize((200, 120)).getcolors(24_000)) > 50
    SCREENSHOTS.mkdir(exist_ok=True)
    (SCREENSHOTS / "export.png").write_bytes((tmp_path / "rmsprop-lab.png").read_bytes())
    program = exported("python")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert repr(run["p"][0][-1]) in done.stdout


def test_the_table_has_all_steps_and_only_few_rows(opened):
    lab = opened(accept_downloads=True)
    with lab.changing():
        lab.type("steps", 5000)
    lab.page.wait_for_selector("#table-scroll[aria-rowcount='5001']")
    assert lab.page.locator("#table-body .row").count() < 60
    expect(lab.page.locator("#table-body .row.now [role=rowheader]")).to_have_text("5000")
    lab.go(2500)
    expect(lab.page.locator("#table-body .row.now [role=rowheader]")).to_have_text("2500")
    lab.page.locator("#table-scroll").focus()
    lab.page.keyboard.press("ArrowDown")
    assert lab.step() == 2501
    lab.page.locator("#table-body .row", has_text="2499").first.click()
    assert lab.step() == 2499
    with lab.page.expect_download() as download:
        lab.page.locator(".card [data-export=csv]").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 5002


def test_share_copies_the_link(opened):
    lab = opened(permissions=["clipboard-read", "clipboard-write"])
    lab.page.click("#share")
    lab.expect_text("#toast", "The link is in the clipboard: it holds the whole experiment and the view of it.")
    link = lab.page.evaluate("navigator.clipboard.readText()")
    assert link == lab.page.url
    assert len(link) < 2000
