// Draws messages: how many left, or an arrow for each; and says which of them is at a point.
"use strict";

// If more RPCs than this are in view, only the number of messages is drawn.
const MOST_ARROWS = 600;

// How many RPCs left in the time of each pixel; in red, how many of them failed.
function drawDensity(y) {
  const wide = Math.max(1, Math.floor(width - NAMES));
  const counts = (list) => {
    const before = [];
    for (let px = 0; px <= wide; px += 2) before.push(messages.firstFrom(list, time(NAMES + px)));
    return before.slice(1).map((n, i) => n - before[i]);
  };
  const all = counts(shownTimes.sent),
    bad = counts(shownTimes.failed);
  const most = Math.max(1, ...all);
  const bar = (n) => (n === 0 ? 0 : Math.max(2, (Math.sqrt(n / most) * (size.density - 3)) | 0));
  all.forEach((n, i) => {
    if (n === 0) return;
    pen.fillStyle = colours.write;
    pen.fillRect(NAMES + 2 * i, y + size.density - bar(n), 2, bar(n));
    if (bad[i] > 0) {
      pen.fillStyle = colours.bad;
      pen.fillRect(NAMES + 2 * i, y + size.density - bar(Math.min(n, bad[i])), 2, bar(Math.min(n, bad[i])));
    }
  });
  // Where messages are found.
  let last = -1;
  pen.fillStyle = colours.found;
  for (let i = messages.firstFrom(foundTimes, view.from); i < foundTimes.length && foundTimes[i] <= view.to; ) {
    const at = Math.floor(x(foundTimes[i]));
    if (at > last) pen.fillRect(at, y, 2, size.density);
    last = at;
    i = Math.max(i + 1, messages.firstFrom(foundTimes, time(at + 2)));
  }
  const n = inView(),
    what = shownMethod === "none" ? "Messages: none" : `${n} ${shownMethod || "RPC"}${shownMethod || n === 1 ? "" : "s"}`;
  if (shownMethod === "none") plate([what], Math.max(NAMES, x(0)), width, y + 8);
  else if (n > MOST_ARROWS) plate([`${what}: zoom in to see them as arrows`, what], Math.max(NAMES, x(0)), width, y + 8);
}

// Where arrows leave and land: under the text of a server's band.
const middleOf = (lane) => lane.y + (lane.kind === "server" ? 17 : Math.min(lane.height, 20) / 2);

// An arrow for each message in view, if they are few enough; else only those of the selected message or operation.
function drawArrows() {
  const stop = messages.firstFrom(messages.sent, view.to),
    n = inView(),
    // Among many, those of the selection would be hard to see.
    isCrowded = n > 100 && selectedRpcs.length > 0;
  if (shownMethod !== "none" && n <= MOST_ARROWS) {
    for (let i = messages.firstFrom(messages.reach, view.from); i < stop; i++)
      if (isMethodShown(i) && !selectedRpcs.includes(i)) drawRpc(i, n <= 40, isCrowded ? 0.25 : 0.75);
  }
  for (const i of selectedRpcs) drawRpc(i, true, 1);
}

function drawRpc(i, named, alpha) {
  const a = laneOf(messages.from[i]),
    b = laneOf(messages.to[i]);
  if (!a || !b || Math.max(messages.sent[i], messages.arrived[i], messages.answered[i], messages.ended[i]) < view.from)
    return;
  const mine = selected && selected.kind === "message" && selected.rpc === i;
  const fate = messages.fate(i),
    [sent, arrived, answered, ended] = ["sent", "arrived", "answered", "ended"].map((name) => messages[name][i]);
  const hue = isFoundRpc[i] ? colours.found : `hsl(${(messages.method[i] * 97 + 200) % 360} 60% ${colours.ink}%)`;
  pen.strokeStyle = pen.fillStyle = mine ? colours.text : hue;
  // The handler, beside the receiver's band.
  if (arrived >= 0) {
    const until = answered >= 0 ? answered : fate === 5 ? ended : end;
    const left = Math.max(x(arrived), NAMES);
    const wide = Math.max(1, x(until) - left);
    pen.globalAlpha = Math.min(1, alpha + 0.25);
    pen.fillRect(left, middleOf(b) - 1, wide, mine ? 3 : 2);
    pen.globalAlpha = 1;
    frame.bars.push([2 * i, left, left + wide, middleOf(b)]);
  }
  const way = { mine, named, alpha };
  arrow(2 * i, [sent, middleOf(a)], [arrived, middleOf(b)], { ...way, isLost: arrived < 0 && (fate > 0 || ended >= 0) });
  if (answered < 0 || (ended >= 0 && ended < answered)) return;
  const came = messages.hasReply(i);
  arrow(2 * i + 1, [answered, middleOf(b)], [came ? ended : -1, middleOf(a)], { ...way, named: false, isLost: !came && (fate > 0 || ended >= 0) });
}

// An arrow for one message, from [time, y] to [time, y]. One that is lost ends on its way, with a cross. One that was on its way
// when the test ended (it arrives at -1) is a pale line up to the end.
function arrow(key, [t, fromY], [arrival, y], { mine, named, alpha, isLost }) {
  const chosen = selected && selected.key === key,
    arrives = arrival >= 0;
  const fromX = x(t),
    toX = arrives ? x(arrival) : isLost ? fromX + 14 : Math.max(x(end), fromX + 2),
    toY = arrives ? y : fromY + (y - fromY) * 0.6;
  if (Math.max(fromX, toX) < NAMES || Math.min(fromX, toX) > width) return;
  frame.arrows.push([key, fromX, fromY, toX, toY]);
  const before = pen.fillStyle,
    colour = isLost ? colours.bad : before;
  pen.globalAlpha = arrives || isLost ? alpha : alpha / 2;
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = chosen ? 3 : mine || isFoundRpc[key >> 1] ? 2 : 1;
  // A reply is dashed.
  pen.setLineDash(key & 1 ? [5, 3] : []);
  pen.beginPath();
  pen.moveTo(fromX, fromY);
  pen.lineTo(toX, toY);
  pen.stroke();
  pen.setLineDash([]);
  if (arrives) drawHead(toX, toY, Math.atan2(toY - fromY, toX - fromX), chosen ? 9 : 6);
  else if (isLost) drawCross(toX, toY);
  pen.globalAlpha = 1;
  if (named) label(messages.methods[messages.method[key >> 1]].split(".").pop(), fromX, fromY, toX, toY, mine);
  pen.fillStyle = before;
}

function drawHead(toX, toY, angle, long) {
  pen.beginPath();
  pen.moveTo(toX, toY);
  for (const turn of [2.7, -2.7]) pen.lineTo(toX + long * Math.cos(angle + turn), toY + long * Math.sin(angle + turn));
  pen.fill();
}

function drawCross(atX, atY) {
  pen.lineWidth = 2;
  pen.beginPath();
  for (const side of [1, -1]) {
    pen.moveTo(atX - 4, atY - 4 * side);
    pen.lineTo(atX + 4, atY + 4 * side);
  }
  pen.stroke();
}

// Writes a method's name beside an arrow, where no other text is.
function label(method, fromX, fromY, toX, toY, mine) {
  pen.font = `${mine ? "600 " : ""}11px system-ui, sans-serif`;
  const wide = pen.measureText(method).width + 8;
  for (const part of [0.4, 0.6, 0.25, 0.75]) {
    const left = fromX + (toX - fromX) * part + 2,
      middle = fromY + (toY - fromY) * part;
    if (left < NAMES || left + wide > width) continue;
    if (frame.written.some(([x, y, w]) => left < x + w && x < left + wide && Math.abs(middle - y) < 12)) continue;
    // The arrows end around it.
    pen.globalAlpha = 0.8;
    pen.fillStyle = colours.ground;
    pen.fillRect(left + 1, middle - 6, wide - 4, 12);
    pen.globalAlpha = 1;
    write(method, left, width, middle, colours.text, mine);
    return;
  }
}

// The message whose arrow is at most three pixels from a point.
function arrowAt(px, py) {
  let best,
    distance = 3.5;
  for (const [key, ax, ay, bx, by] of frame.arrows) {
    const long = (bx - ax) ** 2 + (by - ay) ** 2;
    const part = long === 0 ? 0 : Math.max(0, Math.min(1, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / long));
    const away = Math.hypot(px - ax - part * (bx - ax), py - ay - part * (by - ay));
    if (away < distance) {
      best = key;
      distance = away;
    }
  }
  return messageItem(best);
}

// The request whose handler ran at a point: its bar is there.
function handlerAt(px, py) {
  const bar = frame.bars.find(([, left, right, y]) => px >= left - 1 && px <= right + 1 && Math.abs(py - y) <= 3);
  return bar && messageItem(bar[0]);
}
