// Draws what stands on the lanes of the network, the servers and the clients, and the order that explains the results.
"use strict";

// If an order has more boxes than this, no line joins them: the line would hide the boxes.
const JOINED = 40;

function drawLane(lane, y) {
  pen.fillStyle = colours.line;
  pen.fillRect(NAMES, y + lane.height + 1, width - NAMES, 0.5);
  pen.save();
  pen.beginPath();
  pen.rect(NAMES, y, width - NAMES, lane.height + size.gap);
  pen.clip();
  if (lane.kind === "network") drawNetwork(lane, y);
  if (lane.kind === "messages") drawDensity(y);
  if (lane.kind === "server") drawServer(lane, y);
  if (lane.kind === "client") {
    lane.rows.forEach((row, i) => drawOperations(row, y + i * size.operation));
    drawInstants(lane, y, size.operation);
  }
  pen.restore();
}

function drawNetwork(lane, y) {
  for (const item of lane.items) {
    if (item.end < view.from || item.t > view.to) continue;
    const left = Math.max(x(item.t), NAMES),
      right = Math.min(x(item.end), width);
    const top = y + (item.kind === "mode" ? 0 : 19);
    const bad = item.kind === "mode" ? item.bad : item.letters;
    pen.fillStyle = bad ? colours.down : colours.raised;
    pen.fillRect(left, top, Math.max(right - left - 1, 1), 18);
    write(item.what, left, right, top + 9, colours.text);
    outline(item, left, top, right - left - 1, 18);
  }
}

function drawServer(lane, y) {
  for (const [from, to, state, item] of lane.spans) {
    if (to < view.from || from > view.to) continue;
    const left = Math.max(x(from), NAMES),
      right = Math.min(x(to), width),
      wide = Math.max(right - left - 0.5, 1);
    if (state === null) {
      pen.fillStyle = colours.down;
      pen.fillRect(left, y + 1, wide, 17);
      pen.fillStyle = colours.hatch;
      pen.fillRect(left, y + 1, wide, 17);
      write("down", left, right, y + 10, colours.text, true);
    } else if (state && state.unknown) {
      pen.globalAlpha = 0.5;
      pen.fillStyle = colours.hatch;
      pen.fillRect(left, y + 5, wide, 10);
      pen.globalAlpha = 1;
      plate([state.unknown, "unknown", "?"], left, right, y + 10);
    } else if (state) {
      pen.fillStyle = termColour(state.term, state.leads);
      pen.fillRect(left, y + (state.leads ? 1 : 5), wide, state.leads ? 17 : 10);
      const term = `${state.term}${state.hearsay ? "?" : ""}`,
        texts = [`term ${term}`, term];
      if (state.leads) texts.unshift(`LEADER, term ${term}`, `LEADER ${term}`, `L ${term}`, `L${term}`);
      write(texts, left, right, y + 10, state.leads ? "#fff" : colours.text, state.leads);
    }
    if (item && item === selected) outline(item, left + 1, y + 2, wide - 2, 15);
  }
  for (const item of groupItems) {
    const letter = item.letters && item.letters[lane.number];
    if (!letter || item.end < view.from || item.t > view.to) continue;
    const left = Math.max(x(item.t), NAMES),
      right = Math.min(x(item.end), width);
    pen.fillStyle = colours[groupColour[letter] || "mark"];
    if (letter === "alone") pen.fillStyle = colours.hatch;
    pen.fillRect(left, y + 19, Math.max(right - left - 1, 1), size.strip);
    if (!size.letters) continue;
    pen.font = "600 9px system-ui, sans-serif";
    const text = [letter === "alone" ? letter : `group ${letter}`, letter].find(
      (one) => 2 * pen.measureText(one).width + 8 < right - left,
    );
    if (text) {
      pen.fillStyle = colours.ground;
      pen.fillRect(left + 3, y + 20, pen.measureText(text).width + 6, 9);
      pen.fillStyle = colours.text;
      pen.fillText(text, left + 6, y + 25);
      frame.written.push([left, y + 25, pen.measureText(text).width + 12]);
    }
  }
  drawInstants(lane, y + size.instants, size.server - size.instants);
}

// A line on a server's lane need not begin with the server's name.
const OWN = /^server \d+[:,] */;
// Kinds of items whose texts are shown nowhere else on the lane.
const signs = new Set(["line", "start", "apply"]);

// Draws starts, applies, changes and lines of the log: a sign for each, and its text if there is room.
function drawInstants(lane, y, high) {
  const items = lane.items;
  let last = -1;
  for (let i = firstFrom(items, "t", view.from); i < items.length && items[i].t <= view.to; i++) {
    const item = items[i];
    if (item.kind === "operation" || !isShown(item)) continue;
    const at = x(item.t),
      special = item === selected || item.verdict || isFound(item);
    if (at - last < 1.5 && !special) continue;
    last = at;
    drawSign(item, at, y, high);
    let next = i + 1;
    while (next < items.length && (!isShown(items[next]) || items[next].kind === "operation")) next++;
    const right = next < items.length ? Math.min(x(items[next].t), width) : width;
    if (lane.kind === "server" && signs.has(item.kind) && right - at > 34)
      write(item.what.replace(OWN, ""), at + 3, right, y + high / 2, colours.text);
    outline(item, at - 4, y, 8, high - 1);
  }
}

function drawSign(item, at, y, high) {
  const middle = y + high / 2;
  pen.fillStyle = item.kind === "line" ? (item.level ? colours.bad : colours.quiet) : colours.text;
  pen.beginPath();
  if (item.kind === "start") {
    pen.moveTo(at - 4, middle + 5);
    pen.lineTo(at + 4, middle + 5);
    pen.lineTo(at, middle - 5);
    pen.fillStyle = colours.accent;
  } else if (item.kind === "apply") {
    pen.arc(at, middle, 3.2, 0, 7);
    pen.fillStyle = colours.mark;
  } else if (item.kind === "failure") {
    pen.fillStyle = colours.bad;
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillText("✗", at - 5, middle);
  } else if (item.kind === "line") {
    pen.rect(at - 0.5, middle - 4, 1.2, 8);
  } else {
    pen.rect(at - 0.5, y, 1.2, 4);
  }
  pen.fill();
}

function drawOperations(row, y) {
  let last = -1;
  for (let i = firstFrom(row, "end", view.from); i < row.length && row[i].t <= view.to; i++) {
    const item = row[i];
    const left = x(item.t),
      right = Math.max(x(item.end), left + 1.5);
    const special = item === selected || item.verdict === "broken" || isFound(item);
    if (right - last < 1 && !special) continue;
    last = right;
    drawOperation(item, Math.max(left, NAMES - 4), Math.min(right, width + 4), y);
  }
}

function drawOperation(item, left, right, y) {
  const wide = Math.max(right - left - 0.7, 1),
    high = size.operation - size.gap;
  const reads = /^(get|read)/.test(item.what),
    shown = shownFinding(),
    mine = item.finding === shown;
  pen.globalAlpha = shown && !mine && item !== selected ? 0.3 : 1;
  pen.fillStyle = reads ? colours.read : colours.write;
  pen.fillRect(left, y + 1, wide, high);
  if (wide > 2 && ((mine && (item.verdict === "after" || item.verdict === "refused")) || item.pending)) {
    const alpha = pen.globalAlpha;
    pen.globalAlpha = 0.4 * alpha;
    pen.fillStyle = item.pending ? colours.hatch : colours.badHatch;
    pen.fillRect(left, y + 1, wide, high);
    pen.globalAlpha = alpha;
  }
  if (wide > 3) {
    pen.strokeStyle = colours.edge;
    pen.lineWidth = 1;
    pen.strokeRect(left + 0.5, y + 1.5, wide - 1, high - 1);
  }
  const sign = item.verdict === "broken" ? "✗ " : mine && item.number ? `${item.number}. ` : "";
  if (size.texts) write(
    `${sign}${item.what} ${item.result}${item.pending ? " (pending)" : ""}`,
    Math.max(left, NAMES),
    right,
    y + 9,
    colours.text,
    item.verdict === "broken",
  );
  pen.globalAlpha = 1;
  outline(item, left, y + 1, wide, high);
}

// The order in which the explained operations can have taken effect.
function drawOrder() {
  const shown = shownFinding();
  const inView = shown ? shown.order.filter((item) => item.end >= view.from && item.point <= view.to) : [];
  if (inView.length > JOINED) return;
  pen.strokeStyle = colours.text;
  pen.lineWidth = 1;
  pen.globalAlpha = 0.5;
  pen.beginPath();
  for (const item of inView) pen.lineTo(x(item.point), item.lane.y + (item.row + 0.5) * size.operation);
  pen.stroke();
  pen.globalAlpha = 1;
}
