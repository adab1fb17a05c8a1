"use strict";
// Held-out views of one cell: a divider between render and truth, their difference, or both; view by view, stage by stage.
(() => {
  const viewer = document.getElementById("viewer");
  if (!viewer) return;
  const { root, views } = JSON.parse(document.getElementById("viewer-data").textContent);
  const compare = viewer.querySelector(".compare");
  const [under, over] = compare.querySelectorAll("img");
  const slider = compare.querySelector("input");
  const says = viewer.querySelector(".says");
  const film = [...viewer.querySelectorAll(".film button")];
  const stages = [...new Set(views.flatMap((view) => view.stages.map((each) => each.name)))];
  const at = (shown) => shown.stages.find((each) => each.name === stage);
  let view = 0, stage = stages[0];

  const field = document.getElementById("stages");
  for (const name of stages) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "stage", value: name, checked: name === stage });
    input.addEventListener("change", () => { stage = name; show(); });
    label.append(input, name);
    field.append(label);
  }

  field.hidden = stages.length < 2;

  const show = () => {
    const shown = views[view], held = at(shown);
    const word = stage === "depth" ? "depth (near is bright)" : `${stage} render`;
    for (const [image, path] of [[under, shown.truth], [over, held?.path]]) {
      image.hidden = !path;
      if (path) image.src = root + path;
    }
    under.alt = `truth of ${shown.name}`;
    over.alt = held?.alt ?? `${shown.name}: no ${stage}`;
    compare.classList.toggle("depth", stage === "depth");
    compare.querySelector(".tag.left").textContent = stage === "depth" ? "depth" : "render";
    says.textContent = held ? [shown.name, word, held.score, held.problem].filter(Boolean).join(" · ") : `${shown.name} · no ${stage} was kept`;
    film.forEach((button, k) => {
      button.setAttribute("aria-selected", String(k === view));
      button.tabIndex = k === view ? 0 : -1;
      const image = button.querySelector("img"), kept = at(views[k]);
      if (image && kept?.path) Object.assign(image, { src: root + kept.path, alt: kept.alt });
      button.querySelector("span").lastChild.textContent = kept?.score ?? "";
    });
  };
  film.forEach((button, k) => {
    button.addEventListener("click", () => { view = k; show(); });
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      view = (k + step + views.length) % views.length;
      show();
      film[view].focus();
    });
  });
  for (const input of viewer.querySelectorAll('input[name="mode"]')) {
    input.addEventListener("change", () => (compare.dataset.mode = input.value));
  }
  const divide = () => compare.style.setProperty("--at", `${slider.value}%`);
  slider.addEventListener("input", divide);
  divide();
  show();
})();
