"""What is looked for in the whole page at once, by scripts that run in it."""

#: Elements that one can act on and that have no name for who cannot see them.
NAMELESS = """() => {
  const acted = "button, input, select, textarea, a[href], summary, [role=tab], [role=table], [tabindex='0']";
  const names = (one) => [one.ariaLabel, one.getAttribute("aria-labelledby"), one.textContent, one.labels?.[0]?.textContent];
  return [...document.querySelectorAll(acted)]
    .filter((one) => !one.closest("[hidden]") && one.type !== "file")
    .filter((one) => !names(one).some((name) => name && name.trim()))
    .map((one) => one.outerHTML.slice(0, 120));
}"""

#: Texts whose colour is too near to that of their ground, by WCAG's ratio.
FAINT = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (one) => {
    for (let up = one; up; up = up.parentElement) {
      const found = parts(getComputedStyle(up).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const apart = "svg, .unseen, :disabled, [hidden], #toast, option, .skip";
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    if (!one.checkVisibility({ opacityProperty: true }) || one.closest(apart)) continue;
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim())) continue;
    const [a, b] = [light(parts(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
}"""

#: All that is read on the page or out aloud, but for formulas and the names of dialects.
READ = """() => {
  for (const one of document.querySelectorAll(".formula-line, [data-control=dialect] option")) one.remove();
  const named = [...document.querySelectorAll("[aria-label], [title]")].filter((one) => one.id !== "land-title");
  const labels = named.flatMap((one) => [one.getAttribute("aria-label") ?? "", one.title]);
  return [document.body.innerText, ...labels].join("\\n");
}"""
