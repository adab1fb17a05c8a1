"use strict";
// Sort a table by a click on its heading: numbers by data-sort, text by what is shown, what is missing last.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const button of table.querySelectorAll("th button")) {
    const heading = button.closest("th");
    button.addEventListener("click", () => {
      const key = heading.dataset.key;
      const down = heading.getAttribute("aria-sort") === (heading.dataset.first || "ascending");
      const order = (heading.dataset.first || "ascending") === "ascending" ? (down ? -1 : 1) : (down ? 1 : -1);
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order === 1 ? "ascending" : "descending");
      const valueOf = (row) => {
        const cell = row.querySelector(`[data-key="${key}"]`);
        if (!cell) return null;
        if (heading.classList.contains("num")) return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
        return cell.textContent.trim().toLowerCase();
      };
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row, k) => [valueOf(row), k, row]);
      rows.sort(([a, i], [b, j]) => {
        if (a === null || b === null) return (a === null) - (b === null) || i - j;
        return (a < b ? -order : a > b ? order : i - j);
      });
      body.append(...rows.map(([, , row]) => row));
    });
  }
}
// Filter the cells by what is typed.
const filter = document.getElementById("filter");
if (filter) {
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const cell of document.querySelectorAll("details.cell")) {
      const text = cell.querySelector("summary").textContent.toLowerCase();
      cell.hidden = !words.every((word) => text.includes(word));
      shown += !cell.hidden;
    }
    document.getElementById("filtered").textContent = `${shown} shown`;
  });
}
// A link to a cell opens it.
const open = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.matches("details")) { target.open = true; target.hidden = false; target.scrollIntoView(); }
};
addEventListener("hashchange", open);
open();
