// The view: the canvas, the sizes of what is drawn on it, and which times and lines of the log are shown. Zooms, scrolls and prints.
"use strict";

const chart = $("chart"),
  canvas = chart.querySelector("canvas"),
  pen = canvas.getContext("2d");

// Sizes in CSS pixels.
const NAMES = 126,
  AXIS = 22,
  OVERVIEW = 26,
  NETWORK = 38;
// Heights of lanes, and whether operations and groups have texts. The first size is used with which all lanes fit; else the
// last.
const SIZES = [
  { operation: 16, density: 26, server: 44, strip: 9, instants: 30, gap: 3, texts: true, letters: true },
  { operation: 16, density: 20, server: 36, strip: 4, instants: 24, gap: 2, texts: true, letters: false },
  { operation: 9, density: 20, server: 34, strip: 4, instants: 23, gap: 2, texts: false, letters: false },
];
let size = SIZES[0];

// The shortest time that the whole width may show: 20 microseconds.
const CLOSEST = 20;

// The view: from `view.from` to `view.to`, scrolled down by `view.y`.

const view = { from: 0, to: end, y: 0 };
let width = 0,
  height = 0;

// Chooses the lanes' heights.
function fit() {
  for (size of SIZES) {
    for (const lane of lanes) {
      if (lane.kind === "client") lane.height = Math.max(1, lane.rows.length) * size.operation;
      if (lane.kind === "server") lane.height = size.server;
      if (lane.kind === "messages") lane.height = size.density;
    }
    if (total() <= room()) return;
  }
}

const x = (t) => NAMES + ((t - view.from) / (view.to - view.from)) * (width - NAMES);
const time = (px) => view.from + ((px - NAMES) / (width - NAMES)) * (view.to - view.from);

function look(from, to) {
  const most = end * 1.04,
    wide = Math.min(Math.max(to - from, CLOSEST), most);
  const middle = (from + to) / 2;
  view.from = Math.min(Math.max(middle - wide / 2, -0.01 * end), most - wide - 0.01 * end);
  view.to = view.from + wide;
  redraw();
}

// Zooms about a time, or about what is in view of the selection, or about the middle.
function zoom(factor, at) {
  if (at === undefined) {
    const isThere = selected && selected.t <= view.to && selected.end >= view.from;
    at = (isThere ? Math.max(selected.t, view.from) + Math.min(selected.end, view.to) : view.from + view.to) / 2;
  }
  look(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

// The whole test is in view from a little before it to a little after it.
const BEGIN = -0.01 * end,
  STOP = 1.03 * end;
const whole = () => look(BEGIN, STOP);
const isWhole = () => view.to - view.from > 0.99 * (STOP - BEGIN);

const total = () => lanes.reduce((sum, lane) => sum + lane.height + size.gap, 0);
const room = () => height - AXIS - OVERVIEW;

function scroll(y) {
  view.y = Math.max(0, Math.min(y, total() - room()));
  redraw();
}

let drawing = false;
function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function resize() {
  const ratio = window.devicePixelRatio || 1;
  width = chart.clientWidth;
  height = chart.clientHeight;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  fit();
  scroll(view.y);
  // A canvas of a new size is empty.
  draw();
}

function onPaper(yes) {
  document.documentElement.classList.toggle("paper", yes);
  chart.style.height = yes ? `${lanes.length * 60 + 100}px` : "";
  readColours();
  resize();
  if (yes) {
    chart.style.height = `${total() + AXIS + OVERVIEW + 4}px`;
    resize();
    // The paper's width is another one: the drawing keeps its proportions.
    chart.style.height = "auto";
  }
  draw();
}

// The log's lines with this topic are shown; "": all lines; "none".
let topic = "";
function chooseTopic(name) {
  topic = name;
}
const isShown = (item) => item.kind !== "line" || topic === "" || (topic !== "none" && item.topic === topic);
