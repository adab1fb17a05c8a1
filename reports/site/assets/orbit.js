"use strict";
// Cameras of truth and estimate, turned about the middle of the scene: a few hundred lines on a canvas.
for (const figure of document.querySelectorAll("figure.orbit")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const canvas = figure.querySelector("canvas"), pen = canvas.getContext("2d"), output = figure.querySelector("output");
  const DOT = figure.classList.contains("compact") ? 1.3 : 2.2;
  const draws = () => new Set([...figure.querySelectorAll(".controls input:checked")].map((input) => input.value));

  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const scale = (a, s) => a.map((v) => v * s);
  const plus = (...vectors) => vectors.reduce((a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
  const unit = (a) => scale(a, 1 / (Math.hypot(...a) || 1));

  // A frame whose third axis is up: the first lies in the ground plane.
  const up = unit(data.up);
  const east = unit(cross(Math.abs(up[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0], up));
  const north = cross(up, east);
  const toGround = (p) => [dot(p, east), dot(p, north), dot(p, up)];

  const SIZE = 0.11;  // depth of a drawn frustum; the scene has radius 1. An estimate is smaller: the truth is seen round it
  const frustum = (numbers, size) => {
    if (!numbers) return null;
    const place = numbers.slice(0, 3), right = numbers.slice(3, 6), down = numbers.slice(6, 9), forward = cross(right, down);
    const corner = (x, y) => toGround(plus(place, scale(forward, size), scale(right, x * size * data.sight[0]), scale(down, y * size * data.sight[1])));
    return { at: toGround(place), corners: [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)] };
  };
  const truth = data.truth.map((each) => frustum(each, SIZE)), estimate = data.estimate.map((each) => frustum(each, 0.65 * SIZE)), heldout = data.heldout.map((each) => frustum(each, SIZE));
  const rig = truth.some(Boolean) ? truth : estimate;  // nobody may know the truth
  const floor = Math.min(0, ...rig.filter(Boolean).map((each) => each.at[2])) - 0.05;

  const START = { turn: 0.9, lift: 0.45, zoom: 1.08 };
  let { turn, lift, zoom } = START, hovered = -1, waiting = false;

  const project = (p) => {
    const [ct, st, cl, sl] = [Math.cos(turn), Math.sin(turn), Math.cos(lift), Math.sin(lift)];
    const x = ct * p[0] + st * p[1], y = -st * p[0] + ct * p[1];
    const depth = 4.2 / zoom + cl * y + sl * -p[2];
    const size = Math.min(canvas.clientWidth, canvas.clientHeight * 1.2) * 1.55 / Math.max(depth, 0.05);
    return [canvas.clientWidth / 2 + x * size, canvas.clientHeight / 2 - (cl * p[2] + sl * y) * size, depth];
  };

  const stroke = (points, close = false) => {
    pen.beginPath();
    points.forEach((p, k) => { const [x, y] = project(p); k ? pen.lineTo(x, y) : pen.moveTo(x, y); });
    if (close) pen.closePath();
    pen.stroke();
  };
  const camera = ({ at, corners }, fill) => {
    stroke(corners, true);
    for (const corner of corners) stroke([at, corner]);
    stroke([corners[0], plus(scale(corners[0], 0.5), scale(corners[1], 0.5), scale(upward(corners), 0.35)), corners[1]]);
    if (fill) { const [x, y] = project(at); pen.beginPath(); pen.arc(x, y, DOT, 0, 7); pen.fill(); }
  };
  // The tick above a frustum's upper edge shows which way is up in its image.
  const upward = (corners) => plus(corners[0], scale(corners[3], -1));

  const draw = () => {
    waiting = false;
    const ratio = devicePixelRatio || 1, shown = draws();
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const look = (name, alpha, line) => { pen.strokeStyle = pen.fillStyle = colour(name); pen.globalAlpha = alpha; pen.lineWidth = line; };

    look("--soft", 0.22, 1);
    for (let k = -4; k <= 4; k++) {
      stroke([[k / 4, -1, floor], [k / 4, 1, floor]]);
      stroke([[-1, k / 4, floor], [1, k / 4, floor]]);
    }
    look("--soft", 0.5, 1);
    stroke([[0, 0, floor], [0, 0, floor + 0.25]]);
    if (shown.has("heldout")) { look("--mark", 0.8, 1); heldout.forEach((each) => each && camera(each, true)); }
    if (shown.has("truth")) { look("--soft", 0.75, 1.1); truth.forEach((each) => each && camera(each, true)); }
    if (shown.has("errors")) {
      look("--tint", 0.8, 1.2);
      truth.forEach((each, k) => each && estimate[k] && stroke([each.at, estimate[k].at]));
      look("--bad", 0.95, 1.6);
      truth.forEach((each, k) => {
        if (!each || estimate[k]) return;
        const [x, y] = project(each.at);
        pen.beginPath();
        pen.moveTo(x - 5, y - 5); pen.lineTo(x + 5, y + 5); pen.moveTo(x + 5, y - 5); pen.lineTo(x - 5, y + 5);
        pen.stroke();
      });
    }
    if (shown.has("estimate")) { look("--tint", 0.95, 1.1); estimate.forEach((each) => each && camera(each, true)); }
    if (hovered >= 0) {
      look("--ink", 1, 2);
      for (const each of [truth[hovered], estimate[hovered]]) if (each) camera(each, true);
    }
  };
  // A colour of the page, in the theme of the moment, as a canvas understands it.
  const probe = figure.appendChild(document.createElement("i"));
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };

  const describe = (k) => {
    if (k < 0) return "";
    if (!estimate[k]) return `${data.views[k]}: not registered`;
    const said = [[data.rotation[k], "rotation off by", "deg"], [data.translation[k], "centre off by", "scene units"]];
    const known = said.filter(([v]) => v !== null).map(([v, what, unit]) => `${what} ${v} ${unit}`).join(", ");
    return known ? `${data.views[k]}: ${known}` : data.views[k];
  };
  const hover = (x, y) => {
    let best = -1, least = 14;
    truth.forEach((each, k) => {
      for (const one of [each, estimate[k]]) {
        if (!one) continue;
        const [px, py] = project(one.at), far = Math.hypot(px - x, py - y);
        if (far < least) [best, least] = [k, far];
      }
    });
    if (best !== hovered) { hovered = best; output.textContent = describe(best); redraw(); }
  };

  const fingers = new Map();
  let pinch = 0;
  canvas.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event); canvas.setPointerCapture(event.pointerId); pinch = 0; });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => { fingers.delete(event.pointerId); pinch = 0; });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) { hover(event.offsetX, event.offsetY); return; }
    fingers.set(event.pointerId, event);
    if (fingers.size === 1) {
      turn -= (event.clientX - before.clientX) * 0.008;
      lift = Math.min(1.55, Math.max(-1.55, lift + (event.clientY - before.clientY) * 0.008));
    } else {
      const [a, b] = [...fingers.values()], apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      if (pinch) zoom = Math.min(12, Math.max(0.3, zoom * apart / pinch));
      pinch = apart;
    }
    redraw();
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;  // the page scrolls
    event.preventDefault();
    zoom = Math.min(12, Math.max(0.3, zoom * Math.exp(-event.deltaY * 0.0012)));
    redraw();
  }, { passive: false });
  const reset = () => { ({ turn, lift, zoom } = START); redraw(); };
  canvas.addEventListener("dblclick", reset);
  figure.querySelector("[data-reset]").addEventListener("click", reset);
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (turns) { turn += turns[0]; lift = Math.min(1.55, Math.max(-1.55, lift + turns[1])); }
    else if (event.key === "+" || event.key === "=") zoom = Math.min(12, zoom * 1.15);
    else if (event.key === "-") zoom = Math.max(0.3, zoom / 1.15);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
    redraw();
  });
  figure.querySelectorAll(".controls input").forEach((input) => input.addEventListener("change", redraw));
  new ResizeObserver(redraw).observe(canvas);
  for (const name of ["themechange"]) addEventListener(name, redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  redraw();
}
