// Sorting and filtering; without it the page shows the same, in its first order.
"use strict";
const value = (cell) => {
  const text = cell.dataset.v ?? cell.textContent.trim();
  const number = Number.parseFloat(text.replace(/[,<>\u2212]/g, ""));
  return Number.isNaN(number) ? text.toLowerCase() : number;
};
const compare = (a, b) =>
  typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const label = head.firstElementChild ?? head;
    if (!label.textContent) return;
    const button = document.createElement("button");
    button.append(...label.childNodes);
    label.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending" && column > 0;
      const up = column === 0 && head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down || up ? "descending" : "ascending");
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("divider"));
        const keyed = rows.map((row) => [value(row.cells[column]), row]);
        keyed.sort((a, b) => (down || up ? compare(b[0], a[0]) : compare(a[0], b[0])));
        body.append(...keyed.map((pair) => pair[1]));
      }
    });
  });
}
for (const filter of document.querySelectorAll(".filter")) {
  filter.hidden = false;
  const rows = [...document.querySelectorAll(filter.dataset.rows)].map((row) => [
    (row.querySelector("th, summary span") ?? row).textContent.toLowerCase(),
    row,
  ]);
  filter.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    let found = 0;
    for (const [name, row] of rows) {
      row.hidden = !name.includes(wanted);
      found += !row.hidden;
    }
    filter.querySelector("output").textContent = wanted ? `${found} found` : "";
  });
}
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const block = target && target.closest("details");
  if (!block) return;
  block.hidden = false;
  block.open = true;
  block.scrollIntoView();
};
addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal();
});
reveal();
