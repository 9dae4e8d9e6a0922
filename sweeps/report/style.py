"""The look of the page: its style sheet, and the lines of script that sort a table by a click on a column."""

CSS = """
:root { color-scheme: light dark; --ink: #1d2329; --quiet: #5d6873; --paper: #fcfcfb; --panel: #f2f3f2; --line: #d8dcdf;
  --accent: #1f6fae; --best: #fdf3dc; --bad: #b3401f; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe3e6; --quiet: #98a3ad; --paper: #16191c; --panel: #1f2428;
  --line: #363d43; --accent: #6db3ea; --best: #37301c; --bad: #f08a68; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 2.5rem 1.5rem 5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; font-weight: 650; }
h2 { font-size: 1.2rem; margin: 3rem 0 .6rem; font-weight: 650;
  border-top: 1px solid var(--line); padding-top: 1.2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p, figcaption, li { max-width: 46rem; }
.quiet, figcaption { color: var(--quiet); font-size: .9rem; }
.question { font-size: 1.1rem; margin: .2rem 0 1rem; }
ol.conclusions { background: var(--panel); border-radius: 8px; padding: 1rem 1.2rem 1rem 2.6rem; }
ol.conclusions li { margin: .45rem 0; }
figure { margin: 1rem 0 1.6rem; }
figure svg { max-width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; max-height: 34rem; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .32rem .65rem; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: var(--panel); font-weight: 600; }
th button { all: unset; cursor: pointer; }
th button:hover, th button:focus-visible { color: var(--accent); }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
td.note { white-space: normal; min-width: 14rem; color: var(--quiet); }
td.text { white-space: normal; min-width: 15rem; vertical-align: top; }
td.text .quiet { display: block; font-size: .78rem; }
tr:last-child td { border-bottom: 0; }
tr.best td { background: var(--best); font-weight: 600; }
tr.superseded { color: var(--quiet); }
.failed { color: var(--bad); }
pre { background: var(--panel); border-radius: 8px; padding: .8rem 1rem; overflow-x: auto; font-size: .8rem; }
code { font-size: .88em; }
"""

# A cell's data-value, when it has one, is what the column is sorted by; empty cells stay at the end either way.
SCRIPT = """
for (const head of document.querySelectorAll("th button")) head.addEventListener("click", () => {
  const cell = head.closest("th"), index = cell.cellIndex, body = cell.closest("table").tBodies[0];
  const up = cell.getAttribute("aria-sort") !== "ascending";
  for (const other of cell.parentNode.cells) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = row => row.cells[index].dataset.value ?? row.cells[index].textContent;
  [...body.rows].sort((a, b) => {
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return up ? order : -order;
  }).forEach(row => body.append(row));
});
"""
