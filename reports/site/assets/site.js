"use strict";
const all = (query, root = document) => [...root.querySelectorAll(query)];

// Light or dark.
const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const flip = () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("unposed-theme", theme); } catch { /* not kept */ }
  dispatchEvent(new Event("themechange"));
};
document.getElementById("theme").addEventListener("click", flip);

// Keys: d theme, / search, [ ] neighbours.
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const go = { "[": "a[rel=prev]", "]": "a[rel=next]" }[event.key];
  if (go) document.querySelector(go)?.click();
  else if (event.key === "d") flip();
  else if (event.key === "/" && document.getElementById("search")) {
    event.preventDefault();
    document.getElementById("search").focus();
  }
});

// A menu closes when something else is clicked, or by Escape.
addEventListener("click", (event) => all("details.menu[open]").forEach((menu) => menu.contains(event.target) || (menu.open = false)));
addEventListener("keydown", (event) => event.key === "Escape" && all("details.menu[open]").forEach((menu) => (menu.open = false)));

// Tables sort by a click on a heading: numbers by what they are, text as shown, what is missing last. Of thousands of
// rows only the first are in the page at any time.
const AT_ONCE = 300;
const arranged = new Map();
for (const table of all("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const state = { rows, keep: () => true, most: AT_ONCE, drawn: () => {} };
  const draw = () => {
    const kept = state.rows.filter(state.keep);
    body.replaceChildren(...kept.slice(0, state.most));
    state.drawn(kept.length);
  };
  const sort = (heading, order) => {
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order === 1 ? "ascending" : "descending");
    const numeric = heading.classList.contains("num");
    const at = [...heading.parentElement.children].indexOf(heading);
    const valueOf = (row) => {
      const cell = row.cells[at];
      if (!cell || cell.dataset.key !== heading.dataset.key) return null;
      if (!numeric) return cell.textContent.trim().toLowerCase();
      const value = cell.dataset.sort ?? cell.dataset[table.dataset.stat];
      return value === undefined ? null : Number(value);
    };
    const keyed = rows.map((row, k) => [valueOf(row), k, row]);
    keyed.sort(([a, i, one], [b, j, other]) => {
      const apart = one.classList.contains("poses") - other.classList.contains("poses");
      if (apart && table.classList.contains("brief")) return apart;  // given poses: never above those that are ranked
      if (a === null || b === null) return (a === null) - (b === null) || i - j;
      return a < b ? -order : a > b ? order : i - j;
    });
    state.rows = keyed.map(([, , row]) => row);
    draw();
  };
  for (const button of all("thead button", table)) {
    const heading = button.closest("th");
    button.addEventListener("click", () => {
      const first = heading.dataset.first === "descending" ? -1 : 1;
      const now = { ascending: 1, descending: -1 }[heading.getAttribute("aria-sort")];
      sort(heading, now ? -now : first);
    });
  }
  table.addEventListener("resort", () => {
    const heading = table.querySelector("th[aria-sort]");
    if (heading) sort(heading, heading.getAttribute("aria-sort") === "ascending" ? 1 : -1);
  });
  arranged.set(table, { state, draw });
  if (rows.length > AT_ONCE) draw();
}

// Overview: which statistic, which degradation, which tiers, which measure.
const onChange = (name, action) => all(`input[name="${name}"]`).forEach((input) => input.addEventListener("change", () => action(input)));
onChange("stat", (input) => all("table.aggregated").forEach((table) => {
  table.dataset.stat = input.value;
  table.dispatchEvent(new Event("resort"));
}));
all("input.all-columns").forEach((input) => input.addEventListener("change", () => document.getElementById(input.dataset.table).classList.toggle("all", input.checked)));
onChange("measure", (input) => all("table.heat").forEach((table) => (table.dataset.measure = input.value)));
const quantity = (input) => all(".quantity").forEach((each) => (each.hidden = each.dataset.name !== input.dataset.name));
onChange("quantity", quantity);
all('input[name="quantity"]:checked').forEach(quantity);
onChange("tier", () => {
  const shown = new Set(all('input[name="tier"]:checked').map((input) => input.value));
  for (const each of all("[data-given]")) {
    const off = !shown.has(each.dataset.given);
    if (each instanceof SVGElement) each.style.display = off ? "none" : "";
    else each.hidden = off;
  }
});
const which = document.getElementById("which");
if (which) {
  const choose = () => all(".which").forEach((each) => (each.hidden = which.value !== "" && each.id !== which.value));
  which.addEventListener("change", choose);
  choose();
}

// A method in a legend, pointed at, is brought out in the charts below.
for (const keys of all("ul.keys")) {
  const focus = (method) => {
    for (const group of all("svg.chart [data-method]")) group.classList.toggle("dim", method !== null && group.dataset.method !== method);
  };
  for (const item of all("li[data-method]", keys)) {
    for (const name of ["pointerenter", "focus"]) item.addEventListener(name, () => focus(item.dataset.method));
    for (const name of ["pointerleave", "blur"]) item.addEventListener(name, () => focus(null));
  }
}

// The table of cells: filters live in the address, so that a link can ask for them.
const filters = document.getElementById("filters");
if (filters) {
  const { state, draw } = arranged.get(document.getElementById("cells"));
  const texts = new Map(state.rows.map((row) => [row, row.textContent.toLowerCase()]));
  const shown = document.getElementById("shown"), more = document.getElementById("more");
  const isStatus = (asked, held) => asked === "failures" ? ["collapsed", "failed", "timeout", "out_of_memory"].includes(held.status)
    : asked === "flagged" ? held.flags !== "0" : held.status === asked;
  state.drawn = (count) => {
    shown.textContent = `${count} of ${texts.size}`;
    more.hidden = count <= state.most;
    more.textContent = `${count - state.most} more`;
  };
  const apply = () => {
    const asked = Object.fromEntries([...new FormData(filters)].filter(([, value]) => value));
    const words = (asked.text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    state.keep = (row) => ["scene", "degradation", "method", "given"].every((key) => !asked[key] || row.dataset[key] === asked[key])
      && (!asked.status || isStatus(asked.status, row.dataset)) && words.every((word) => texts.get(row).includes(word));
    state.most = AT_ONCE;
    draw();
    return asked;
  };
  const remember = () => {
    const query = new URLSearchParams(apply()).toString();
    try { history.replaceState(null, "", query ? `#${query}` : location.pathname.split("/").pop()); } catch { /* a file's address may not be changed */ }
  };
  const recall = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const control of filters.elements) if (control.name) control.value = asked.get(control.name) ?? "";
    apply();
  };
  more.addEventListener("click", () => { state.most = Infinity; draw(); });
  filters.addEventListener("input", remember);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", (event) => {
    event.preventDefault();  // the browser's own reset comes after this event, and too late to filter by
    for (const control of filters.elements) if (control.name) control.value = "";
    remember();
  });
  addEventListener("hashchange", recall);
  recall();
}

// Scenes: renders, or how far they are from the truth.
all("input.errors-on").forEach((input) => input.addEventListener("change", () => {
  document.querySelector(".gallery").classList.toggle("errors", input.checked);
}));

// Commands can be copied.
for (const button of all("button.copy")) {
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(button.dataset.copy); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(button.previousElementSibling); button.textContent = "selected"; }
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
}
