"""The user's own: formulas and data, pasted, chosen and dropped."""

import math

from playwright.sync_api import expect

CSV = "x,y\n" + "".join(f"{k / 5},{2 * math.exp(-k / 5) + 0.01 * (-1) ** k}\n" for k in range(20))
DROP = """([name, text, size]) => {
  const file = new File([text], name, { type: "text/csv" });
  if (size) Object.defineProperty(file, "size", { value: size });
  window.wasRead = false;
  const read = file.arrayBuffer.bind(file);
  file.arrayBuffer = () => { window.wasRead = true; return read(); };
  const carried = new DataTransfer();
  carried.items.add(file);
  // What a drop carries is a copy: the test's own file, with its size, takes its place.
  const event = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: carried });
  Object.defineProperty(event, "dataTransfer", { value: { types: ["Files"], files: [file] } });
  document.body.dispatchEvent(event);
}"""


def drop(lab, name, text, size=0):
    lab.page.evaluate(DROP, [name, text, size])


def test_a_formula_is_drawn(lab):
    with lab.changing():
        lab.page.locator("input[name=land-kind][value=formula]").check(force=True)
    with lab.changing():
        lab.page.fill("#land-formula", "a**2 + sin(b)**2 + b**2/9")
        lab.page.press("#land-formula", "Enter")
    assert lab.traced[0]["land"] == {"kind": "formula", "text": "a**2 + sin(b)**2 + b**2/9"}
    lab.expect_text("#start-name-1", "b")
    assert lab.traced[1]["names"] == ["a", "b"]


def test_pasted_data_with_a_model_are_fitted(lab):
    lab.page.locator("input[name=land-kind][value=data]").check(force=True)
    lab.page.fill("#data-csv", CSV)
    lab.page.fill("#data-model", "y = a*exp(-b*x) + c")
    with lab.changing():
        lab.page.click("#data-fit")
    assert lab.traced[1]["names"] == ["a", "b"]
    expect(lab.page.locator("#curve-card")).to_be_visible()
    expect(lab.page.locator("#curve-plot .scatterlayer .point")).to_have_count(20)
    curves = []
    for step in (0, 100):
        lab.go(step)
        lab.settle()
        curves.append(lab.page.locator("#curve-plot ~ .overlay").evaluate("(c) => c.toDataURL()"))
    assert curves[0] != curves[1]
    with lab.changing():
        lab.page.select_option("#over-1", "c")
    assert lab.traced[1]["names"] == ["a", "c"]
    lab.shoot("data")


def test_a_dropped_file_is_taken_with_a_line_to_begin_with(lab):
    with lab.changing():
        drop(lab, "decay.csv", CSV)
    assert lab.traced[0]["land"]["model"] == "y = a*x + b"
    assert lab.traced[1]["names"] == ["a", "b"]
    expect(lab.page.locator("#land-data-panel")).to_be_visible()
    assert lab.page.evaluate("window.wasRead")


def test_a_chosen_file_is_taken(lab, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(CSV.replace("x,y", "time,level"))
    lab.page.locator("input[name=land-kind][value=data]").check(force=True)
    with lab.page.expect_file_chooser() as chooser:
        lab.page.click("#data-choose")
    with lab.changing():
        chooser.value.set_files(file)
    assert lab.traced[0]["land"]["model"] == "level = a*time + b"


def test_a_gigabyte_is_refused_unread(lab):
    asked = len(lab.traces)
    drop(lab, "huge.csv", "x,y\n", 1_000_000_000)
    note = lab.page.locator("#data-note")
    expect(note).to_contain_text("huge.csv has 1.0 GB; the lab takes at most 1.0 MB")
    expect(note).to_contain_text("rmsprop fit")
    assert lab.page.evaluate("window.wasRead") is False
    assert len(lab.traces) == asked


def test_what_is_not_text_is_refused(lab):
    lab.page.evaluate(DROP.replace("[text]", "[new Uint8Array([255, 254, 0])]"), ["photo.png", "", 0])
    expect(lab.page.locator("#data-note")).to_contain_text("photo.png is not text in UTF-8")


def test_data_that_do_not_fit_into_a_link_are_left_out_of_it_and_said_so(opened):
    lab = opened(permissions=["clipboard-read", "clipboard-write"])
    rows = "x,y\n" + "".join(f"{k},{math.sin(k * 1e4) * 10:.12f}\n" for k in range(6000))
    with lab.changing():
        drop(lab, "long.csv", rows)
    lab.page.click("#share")
    lab.expect_text("#toast", "The link is in the clipboard, without your data: they would make it too long.")
    link = lab.page.evaluate("navigator.clipboard.readText()")
    assert len(link) < 30_000
    other = opened()
    with other.allowing("400"):
        other.page.goto("about:blank")
        other.page.goto(link)
        expect(other.page.locator("#data-note")).to_have_text("The data did not fit into the link. Paste or choose them again.")
        expect(other.page.locator("[data-field='land.csv'] .field-error")).to_be_visible()
