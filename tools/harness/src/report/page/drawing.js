// Draws the picture: the colours, how texts and frames are drawn, the frame around the lanes, the axis and the overview.
// drawing_lanes.js and drawing_messages.js draw what is on the lanes.
"use strict";

// What stands where in the present frame.
let frame;
const emptyFrame = () => ({
  // The messages' arrows and the handlers' bars: [key, from x, from y, to x, to y] and [key, left, right, y].
  arrows: [],
  bars: [],
  // Texts: their left ends, middles and widths.
  written: [],
  // Where a click scrolls: [top, bottom, direction].
  hints: [],
});

const colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of [
    "ground",
    "raised",
    "line",
    "text",
    "quiet",
    "bad",
    "accent",
    "read",
    "write",
    "edge",
    "found",
    "mark",
    "down",
    "saturation",
    "leader",
    "follower",
    "ink",
  ])
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  colours.hatch = hatch(colours.quiet);
  colours.badHatch = hatch(colours.bad);
}

function hatch(colour) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const ink = tile.getContext("2d");
  ink.strokeStyle = colour;
  ink.beginPath();
  for (const d of [-6, 0, 6]) {
    ink.moveTo(d, 6);
    ink.lineTo(d + 6, 0);
  }
  ink.stroke();
  return pen.createPattern(tile, "repeat");
}

// Terms that follow each other differ in hue.
const termColour = (term, leads) =>
  `hsl(${(term * 137 + 210) % 360} ${colours.saturation} ${leads ? colours.leader : colours.follower})`;
const groupColour = { A: "accent", B: "found", C: "mark", alone: "quiet" };

// Writes the first of the texts that fits. If none fits, writes the beginning of the last one.
function write(texts, left, right, y, colour, bold, points = 11) {
  const space = right - left - 6;
  if (space < 7) return;
  pen.font = `${bold ? "600 " : ""}${points}px system-ui, sans-serif`;
  const fits = (text) => pen.measureText(text).width <= space;
  const list = [].concat(texts);
  let shown = list.find(fits);
  for (let last = list[list.length - 1]; shown === undefined && last.length > 1;) {
    last = last.slice(0, Math.min(last.length - 1, Math.ceil((last.length * space) / pen.measureText(last).width)));
    if (fits(`${last}…`)) shown = `${last}…`;
  }
  if (shown === undefined) return;
  pen.fillStyle = colour;
  pen.fillText(shown, left + 3, y);
  frame.written.push([left, y, pen.measureText(shown).width + 6]);
}

// Writes the first of the texts that fits, on the ground's colour: what is under it is hatched.
function plate(texts, left, right, y) {
  pen.font = "11px system-ui, sans-serif";
  const text = texts.find((one) => pen.measureText(one).width + 6 <= right - left);
  if (!text) return;
  pen.fillStyle = colours.ground;
  pen.fillRect(left + 1, y - 6, pen.measureText(text).width + 5, 12);
  write(text, left, right, y, colours.text);
}

// Marks the items that are selected, are found by a search, or break the history.
function outline(item, left, top, wide, high) {
  const rings = [
    [item === selected, colours.accent, 3],
    [item.verdict === "broken", colours.bad, 2],
    [isFound(item), colours.found, 2],
  ];
  let grow = 0;
  for (const [yes, colour, thick] of rings) {
    if (!yes) continue;
    grow += thick / 2;
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.strokeRect(left - grow, top - grow, Math.max(wide, 2) + 2 * grow, high + 2 * grow);
    grow += thick / 2;
  }
}

function draw() {
  pen.fillStyle = colours.ground;
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = "middle";
  frame = emptyFrame();
  pen.save();
  pen.beginPath();
  pen.rect(0, AXIS, width, room());
  pen.clip();
  let y = AXIS - view.y;
  for (const lane of lanes) {
    lane.y = y;
    if (y + lane.height > AXIS && y < height - OVERVIEW) drawLane(lane, y);
    y += lane.height + size.gap;
  }
  drawFailure(AXIS, height - OVERVIEW);
  drawOrder();
  drawArrows();
  for (const lane of lanes) drawName(lane);
  drawHidden();
  pen.restore();
  drawAxis();
  drawOverview();
}

function drawName(lane) {
  pen.fillStyle = colours.ground;
  pen.fillRect(0, lane.y, NAMES - 1, lane.height + size.gap);
  const mine = selected && (selected.lane === lane || selected.other === lane);
  const small = !size.texts && lane.kind === "client" ? 9 : 11;
  write((mine ? "▸ " : "") + lane.name, 4, NAMES, lane.y + Math.min(lane.height, 20) / 2 + 1, colours.text, mine, small);
}

// Says which lanes are above and below what is in view. A click there scrolls.
const HINT = 17;
function drawHidden() {
  const hint = (list, y, way) => {
    if (list.length === 0) return;
    const names = list.length > 2 ? `${list[0].name} … ${list[list.length - 1].name}` : list.map((one) => one.name).join(", ");
    pen.fillStyle = colours.accent;
    pen.fillRect(0, y, width, 2);
    pen.fillStyle = colours.raised;
    pen.fillRect(0, way < 0 ? y + 2 : y - HINT + 2, 330, HINT - 2);
    write(`${way < 0 ? "▲ above" : "▼ below"}: ${names} (click here)`, 4, 326, way < 0 ? y + 10 : y - 6, colours.text, true);
    frame.hints.push([way < 0 ? y : y - HINT, y + HINT, way]);
  };
  hint(lanes.filter((lane) => lane.y + lane.height / 2 < AXIS), AXIS, -1);
  hint(lanes.filter((lane) => lane.y + lane.height / 2 > height - OVERVIEW), height - OVERVIEW - 2, 1);
  const all = total();
  if (all > room()) {
    pen.fillStyle = colours.quiet;
    pen.fillRect(width - 5, AXIS + (view.y / all) * room(), 5, (room() / all) * room());
  }
}

function drawFailure(top, bottom) {
  if (!data.failed) return;
  const at = x(end);
  if (at < NAMES || at > width) return;
  pen.strokeStyle = colours.bad;
  pen.lineWidth = 2;
  pen.setLineDash([6, 4]);
  pen.beginPath();
  pen.moveTo(at, top);
  pen.lineTo(at, bottom);
  pen.stroke();
  pen.setLineDash([]);
}

function drawAxis() {
  pen.fillStyle = colours.raised;
  pen.fillRect(0, 0, width, AXIS);
  const rough = ((view.to - view.from) * 90) / Math.max(width - NAMES, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((k) => k * power >= rough);
  const digits = Math.max(0, Math.min(6, 6 - Math.floor(Math.log10(step))));
  // Where the end of a failed test is, and the left end of the text there.
  const at = x(end),
    isFailureShown = data.failed && at >= NAMES && at <= width + 1,
    failed = isFailureShown ? Math.min(at + 4, width - 52) : Infinity;
  pen.font = "11px system-ui, sans-serif";
  for (let t = Math.max(0, Math.ceil(view.from / step) * step); t <= view.to; t += step) {
    const text = `${(t / 1e6).toFixed(digits)} s`,
      left = x(t) + 3,
      right = left + pen.measureText(text).width;
    pen.fillStyle = colours.quiet;
    pen.fillRect(x(t), AXIS - 5, 1, 5);
    if (right <= width && (right < failed - 4 || left > failed + 56)) pen.fillText(text, left, AXIS / 2);
  }
  if (isFailureShown) {
    pen.fillStyle = colours.bad;
    pen.font = "600 11px system-ui, sans-serif";
    pen.fillText("✗ failed", failed, AXIS / 2);
  }
  pen.fillStyle = colours.raised;
  pen.fillRect(0, 0, NAMES - 4, AXIS);
}

// Draws the whole test in small, and marks the part that is in view. The times stand where they stand in the chart when the whole
// test is in view.
const small = (t) => NAMES + ((t - BEGIN) / (STOP - BEGIN)) * (width - NAMES);
const timeOfSmall = (px) => BEGIN + ((px - NAMES) / (width - NAMES)) * (STOP - BEGIN);
function drawOverview() {
  const top = height - OVERVIEW;
  pen.fillStyle = colours.raised;
  pen.fillRect(0, top, width, OVERVIEW);
  const hasServers = serverLanes.length > 0;
  write(hasServers ? "whole test: leaders" : "whole test", 4, NAMES, top + 9, colours.quiet, false, 10);
  if (hasServers) write("partitions", 4, NAMES, top + OVERVIEW - 5, colours.quiet, false, 10);
  for (const item of groupItems) {
    if (!item.letters) continue;
    pen.fillStyle = colours.found;
    pen.fillRect(small(item.t), top + OVERVIEW - 6, Math.max(small(item.end) - small(item.t), 1), 4);
  }
  // A row for each server, so that two that lead at the same time are both seen.
  const row = 15 / serverLanes.length;
  serverLanes.forEach((lane, i) => {
    for (const [from, to, state] of lane.spans) {
      if (!state || !state.leads) continue;
      pen.fillStyle = termColour(state.term, true);
      pen.fillRect(small(from), top + 3 + i * row, Math.max(small(to) - small(from), 1), row);
    }
  });
  if (focus) {
    pen.fillStyle = colours.bad;
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillText("✗", small(focus.t) - 5, top + 10);
  }
  const left = Math.max(small(view.from), NAMES),
    right = Math.min(small(view.to), width - 2);
  pen.strokeStyle = colours.accent;
  pen.lineWidth = 2;
  pen.strokeRect(left, top + 2, Math.max(right - left, 4), OVERVIEW - 4);
}
