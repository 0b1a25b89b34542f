// Draws a test on one canvas: lanes of clients and servers over one time axis. tools/harness/src/report/page.rs writes the
// test's data as JSON beside this script. Items out of view are not drawn, and only one of the items in the same pixel is.
//
// In this order: items and lanes; the checker's findings; the view; drawing; the text about the selection; cause and effect; clients by
// their numbers; selecting and moving; going to the failure; the list of what happened before; finding; keys and mouse; what stands
// around the chart.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const messages = readMessages(data.messages, JSON.parse($("messages").textContent));
  const chart = $("chart"),
    canvas = chart.querySelector("canvas"),
    pen = canvas.getContext("2d");

  // Sizes in CSS pixels.
  const NAMES = 118,
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
  // If an order has more boxes than this, no line joins them: the line would hide the boxes.
  const JOINED = 40;
  // For a selected instant, the text lists items within this many microseconds of it, and at most this many items.
  const NEAR = 20000,
    MOST_NEAR = 60;
  // Changes that follow each other within this many microseconds are one change.
  const AT_ONCE = 1000;
  // If more RPCs than this are in view, only the number of messages is drawn. The text lists at most this many.
  const MOST_ARROWS = 600,
    MOST_LISTED = 30;
  // The shortest time that the whole width may show: 20 microseconds.
  const CLOSEST = 20;

  // Items can be selected. Each has a lane, a time `t`, an `end`, and a kind, which says how to draw and describe the item.
  // Times are microseconds.

  const end = Math.max(data.end, 1);
  const quoted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const seconds = (t) => `${(t / 1e6).toFixed(6)} s`;
  const span = (t) => (t >= 1e6 ? `${(t / 1e6).toFixed(3)} s` : t >= 1e3 ? `${(t / 1e3).toFixed(2)} ms` : `${t} µs`);

  // What the test said: first which rule was broken, at the end where in the code. The header shows three lines.
  const firstLine = data.message.split("\n")[0];
  const message = ((text) => {
    const isRule = (line) => line.startsWith("This breaks "),
      isPlace = (line) => /^\s+(at )?\S+\.rs:\d+/.test(line),
      rank = (line) => (isRule(line) ? 0 : isPlace(line) ? 2 : 1);
    return text.split("\n").sort((a, b) => rank(a) - rank(b)).join("\n");
  })(data.message);

  // What the failure is about.
  let focus = null;

  const operationById = new Map();
  const markById = new Map();
  const lanes = [];
  const serverLanes = [];
  const clientLanes = [];

  let network;

  function makeLanes() {
    network = { kind: "network", name: "network", items: networkItems(), height: NETWORK };
    if (data.servers > 0 || network.items.length > 0) lanes.push(network);
    if (messages.count > 0) lanes.push({ kind: "messages", name: "messages", items: [] });
    const order = data.clients.map((name, number) => ({ kind: "client", name, number, items: [] }));
    for (const lane of order) clientLanes[lane.number] = lane;
    order.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    lanes.push(...order);
    for (let i = 0; i < data.servers; i++) {
      const lane = { kind: "server", name: `server ${i}`, number: i, items: [] };
      serverLanes.push(lane);
      lanes.push(lane);
    }
    for (const [id, lane, call, ret, what, result] of data.operations) {
      const item = {
        kind: "operation",
        id,
        t: call,
        end: ret < 0 ? end : ret,
        pending: ret < 0,
        what,
        result: result || "",
      };
      operationById.set(id, item);
      clientLanes[lane].items.push(item);
    }
    for (const [id, t, server, kind, what] of data.marks) {
      const item = { kind: kind === 0 ? "start" : "apply", id, t, end: t, what };
      markById.set(id, item);
      serverLanes[server].items.push(item);
    }
    for (const [t, server, up] of data.lives) {
      serverLanes[server].items.push({ kind: up ? "up" : "down", t, end: t, what: up ? "starts" : "crashes" });
    }
    for (const [t, server, term, role] of data.states) {
      const words = ["follower or candidate", "leader", "candidate, asks for votes"];
      serverLanes[server].items.push({ kind: "state", t, end: t, term, leads: role === 1, what: `${words[role]}, term ${term}` });
    }
    if (data.silent) {
      const [silent, t] = data.silent;
      serverLanes.forEach((lane, i) => {
        const what = i === silent ? "does not answer from here on" : `is not asked from here on: server ${silent} does not answer`;
        lane.items.push({ kind: "silent", t, end: t, what, isMute: i === silent });
      });
    }
    const [about, number] = data.focus || [];
    if (about === "operation") focus = operationById.get(number);
    if (about === "mark") focus = markById.get(number);
    const nobodys = { kind: "client", name: "other log", items: [] };
    for (const [t, where, topic, text, level] of data.lines) {
      const lane = where === null ? nobodys : where < 0 ? serverLanes[-1 - where] || nobodys : clientLanes[where];
      lane.items.push({ kind: "line", t, end: t, topic, what: text, level });
    }
    if (nobodys.items.length > 0) lanes.push(nobodys);
    // A client that did nothing has no lane.
    const hasSent = new Set(messages.from);
    for (const lane of order.filter((one) => one.items.length === 0 && !hasSent.has(one.number))) lanes.splice(lanes.indexOf(lane), 1);
    // Nobody knows what the failure is about: it is the test's.
    if (data.failed && !focus && about !== "server") {
      let test = order.find((lane) => lane.name === "test");
      if (!test) {
        test = { kind: "client", name: "test", items: [] };
        lanes.splice(lanes.indexOf(order[0] || serverLanes[0]), 0, test);
      }
      focus = { kind: "failure", t: end, end, what: firstLine };
      test.items.push(focus);
    }
    // A failure that is about a server as a whole is an item on its lane.
    if (about === "server" && serverLanes[number]) {
      focus = { kind: "failure", t: end, end, what: firstLine };
      serverLanes[number].items.push(focus);
    }
    for (const lane of lanes) {
      lane.items.sort((a, b) => a.t - b.t);
      lane.items.forEach((item) => {
        item.lane = lane;
      });
      if (lane.kind === "client") pack(lane);
    }
  }

  // The lane that a number in the data stands for.
  const laneOf = (number) => (number < 0 ? serverLanes[-1 - number] : clientLanes[number]);
  const codeOf = (lane) => (lane.kind === "server" ? -1 - lane.number : lane.number);

  // A message as an item. It is made when it is needed.
  const messageItems = new Map();
  function messageItem(key) {
    if (key === undefined) return undefined;
    const lane = laneOf(messages.sender(key)),
      other = laneOf(messages.receiver(key));
    if (!lane || !other) return undefined;
    let item = messageItems.get(key);
    if (!item) {
      const i = key >> 1,
        t = messages.leaves(key);
      const method = messages.methods[messages.method[i]] || "?";
      item = { kind: "message", key, rpc: i, lane, other, t, end: Math.max(t, messages.arrives(key)), method };
      item.what = `${key & 1 ? "reply to " : ""}${method} \u2192 ${other.name}`;
      messageItems.set(key, item);
    }
    return item;
  }

  // Why a reply could not leave: the receiver or the sender of the request had crashed by then, or else they were disconnected.
  function whyCutOff(i) {
    const { sent, arrived, answered, ended } = messages;
    const a = laneOf(messages.from[i]),
      b = laneOf(messages.to[i]),
      stop = answered[i] >= 0 ? Math.min(answered[i], ended[i]) : ended[i];
    for (const [lane, begin] of [[b, arrived[i]], [a, sent[i]]]) {
      const crash = lane.items.find((item) => item.kind === "down" && item.t >= begin && item.t <= stop + AT_ONCE);
      if (crash) return `${lane.name} crashed at ${seconds(crash.t)}`;
    }
    return `${a.name} and ${b.name} were disconnected from each other`;
  }

  // What became of an RPC, in words.
  function fateOf(i) {
    const a = laneOf(messages.from[i]).name,
      b = laneOf(messages.to[i]).name;
    const { arrived, answered, ended } = messages,
      hasAnswered = answered[i] >= 0 && answered[i] <= ended[i];
    switch (messages.fate(i)) {
      case 1:
        return `\u2717 Cut off: ${a} was disconnected from ${b} when it left.`;
      case 2:
        return `\u2717 ${b} was down.`;
      case 3:
        return "\u2717 The network lost the request.";
      case 4:
        return `\u2717 The network lost the reply: ${b} has handled the request, and ${a} does not know it.`;
      case 5:
        return `\u2717 ${hasAnswered ? "The reply was cut off" : `Cut off while ${b} handled it`}: ${whyCutOff(i)}.`;
    }
    if (messages.hasReply(i)) return "";
    if (answered[i] >= 0) return ended[i] < 0 ? "The reply was on its way when the test ended." : "";
    if (arrived[i] >= 0) return `\u2717 Its handler on ${b} had not returned when the test ended.`;
    return ended[i] < 0 ? "The request was on its way when the test ended." : "";
  }

  // Operations that overlap go into rows of their own: a test may start several at once.
  function pack(lane) {
    lane.rows = [];
    for (const item of lane.items) {
      if (item.kind !== "operation") continue;
      let row = lane.rows.findIndex((items) => items[items.length - 1].end <= item.t);
      if (row < 0) row = lane.rows.push([]) - 1;
      item.row = row;
      lane.rows[row].push(item);
    }
  }

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

  // After each change: which servers can reach each other, and the network's faults.
  function networkItems() {
    const modes = data.networks.map(([t, unreliable, reordering]) => {
      const words = [unreliable ? "unreliable" : "reliable"].concat(reordering ? ["long reordering"] : []);
      return { kind: "mode", t, what: words.join(", "), bad: unreliable || reordering };
    });
    const groups = data.groups.map(([t, lowest]) => {
      const members = new Map();
      lowest.forEach((group, server) => members.set(group, [...(members.get(group) || []), server]));
      // Sort the groups by size, the largest first: if a group has the majority, it is group A.
      const list = [...members.values()].sort((a, b) => b.length - a.length || a[0] - b[0]);
      const letters = [];
      list.forEach((group, i) =>
        group.forEach((server) => {
          letters[server] =
            group.length === 1 && data.servers > 1 ? "alone" : String.fromCharCode(65 + Math.min(i, 25));
        }),
      );
      const parts = list.filter((group) => group.length > 1).map((group) => group.join(" "));
      const alone = list.filter((group) => group.length === 1).map((group) => group[0]);
      const what =
        list.length === 1
          ? "all connected"
          : parts.length === 0
            ? "nobody connected"
            : parts.concat(alone.length > 0 ? [`alone: ${alone.join(" ")}`] : []).join(" | ");
      return { kind: "groups", t, what, letters: list.length === 1 ? null : letters };
    });
    for (const list of [modes, groups])
      list.forEach((item, i) => {
        item.end = i + 1 < list.length ? list[i + 1].t : end;
      });
    return modes.concat(groups);
  }

  // A server's states in order: [from, to, {term, leads}, the item that begins it]. null instead of the object: down;
  // undefined: not known yet; { unknown }: not known any more, in words. { hearsay }: only the server's messages tell it.
  function spansOf(lane) {
    const spans = [];
    let state,
      silent,
      begins,
      up = false,
      from = 0;
    // Ends the state before an item.
    const close = (t, next) => {
      if (t > from) {
        spans.push([from, t, up ? state : null, begins]);
        if (begins) begins.until = t;
      }
      from = t;
      begins = next;
    };
    for (const item of lane.items) {
      if (item.kind === "up" || item.kind === "down") {
        close(item.t, item);
        up = item.kind === "up";
        state = undefined;
      } else if (item.kind === "silent") {
        close(item.t, item);
        silent = item;
        state = { unknown: item.isMute ? "unknown: does not answer" : "unknown: not asked" };
      } else if (item.kind === "state" && up && !(silent && silent.isMute)) {
        close(item.t, item);
        state = silent ? { term: item.term, leads: item.leads, hearsay: true } : item;
      }
    }
    close(end);
    return spans;
  }

  makeLanes();
  const groupItems = network.items.filter((item) => item.kind === "groups");
  for (const lane of serverLanes) lane.spans = spansOf(lane);

  // The checker's findings.

  for (const finding of data.findings) {
    const at = (ids) => ids.map((id) => operationById.get(id)).filter(Boolean);
    finding.order = at(finding.order);
    finding.refused = at(finding.refused);
    for (const item of at(finding.part)) {
      item.verdict = "after";
      item.finding = finding;
    }
    let t = 0;
    finding.order.forEach((item, i) => {
      item.verdict = "explained";
      item.number = i + 1;
      // The earliest instants at which the operations can have taken effect.
      t = item.point = Math.max(t, item.t);
    });
    finding.refused.forEach((item, i) => {
      item.verdict = i === 0 ? "broken" : "refused";
    });
  }
  // The part of the history that is shown: the selected operation's part, or else the part that broke first.
  const shownFinding = () => (selected && selected.finding) || data.findings[0];
  if (focus && !focus.verdict) focus.verdict = "broken";

  // The view: from `view.from` to `view.to`, scrolled down by `view.y`.

  const view = { from: 0, to: end, y: 0 };
  let width = 0,
    height = 0,
    selected = null,
    found = [],
    word = "",
    topic = "",
    shownMethod = "",
    // The RPCs of the selected message or operation.
    selectedRpcs = [],
    // The arrows and the handlers' bars of the present frame: [key, from x, from y, to x, to y] and [key, left, right, y].
    arrows = [],
    bars = [],
    // Where texts stand in the present frame: their left ends, middles and widths.
    written = [],
    drawing = false,
    colours = {};

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
  // When the RPCs that are shown left, and when those of them left that failed: a choice of messages changes it.
  let shownTimes = { sent: messages.sent, failed: messages.failed };
  function chooseMethod(name) {
    shownMethod = name;
    const isChosen = (i) => name !== "none" && isMethodShown(i);
    const times = (isOne) => messages.sent.filter((_, i) => isOne(i));
    shownTimes = { sent: times(isChosen), failed: times((i) => isChosen(i) && messages.fate(i) > 0) };
  }

  // How many of the RPCs that are shown left in the time in view.
  const inView = () => messages.firstFrom(shownTimes.sent, view.to) - messages.firstFrom(shownTimes.sent, view.from);
  const total = () => lanes.reduce((sum, lane) => sum + lane.height + size.gap, 0);
  const room = () => height - AXIS - OVERVIEW;

  function scroll(y) {
    view.y = Math.max(0, Math.min(y, total() - room()));
    redraw();
  }

  function redraw() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      draw();
    });
  }

  // The first of the items whose `edge` ("t" or "end", by which they are ordered) is at `t` or later.
  function firstFrom(items, edge, t) {
    let low = 0,
      high = items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (items[middle][edge] < t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  const isShown = (item) => item.kind !== "line" || topic === "" || (topic !== "none" && item.topic === topic);
  const isFound = (item) => word !== "" && (item.what.includes(word) || (item.result || "").includes(word));

  // Drawing.

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
    written.push([left, y, pen.measureText(shown).width + 6]);
  }

  function draw() {
    pen.fillStyle = colours.ground;
    pen.fillRect(0, 0, width, height);
    pen.textBaseline = "middle";
    written = [];
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

  function drawName(lane) {
    pen.fillStyle = colours.ground;
    pen.fillRect(0, lane.y, NAMES - 1, lane.height + size.gap);
    const mine = selected && (selected.lane === lane || selected.other === lane);
    const small = !size.texts && lane.kind === "client" ? 9 : 11;
    write((mine ? "▸ " : "") + lane.name, 4, NAMES, lane.y + Math.min(lane.height, 20) / 2 + 1, colours.text, mine, small);
  }

  // Says which lanes are above and below what is in view. A click there scrolls.
  const HINT = 17;
  let hints = [];
  function drawHidden() {
    hints = [];
    const hint = (list, y, way) => {
      if (list.length === 0) return;
      const names = list.length > 2 ? `${list[0].name} … ${list[list.length - 1].name}` : list.map((one) => one.name).join(", ");
      pen.fillStyle = colours.accent;
      pen.fillRect(0, y, width, 2);
      pen.fillStyle = colours.raised;
      pen.fillRect(0, way < 0 ? y + 2 : y - HINT + 2, 330, HINT - 2);
      write(`${way < 0 ? "▲ above" : "▼ below"}: ${names} (click, or drag the chart)`, 4, 326, way < 0 ? y + 10 : y - 6, colours.text, true);
      hints.push([way < 0 ? y : y - HINT, y + HINT, way]);
    };
    hint(lanes.filter((lane) => lane.y + lane.height / 2 < AXIS), AXIS, -1);
    hint(lanes.filter((lane) => lane.y + lane.height / 2 > height - OVERVIEW), height - OVERVIEW - 2, 1);
    const all = total();
    if (all > room()) {
      pen.fillStyle = colours.quiet;
      pen.fillRect(width - 5, AXIS + (view.y / all) * room(), 5, (room() / all) * room());
    }
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

  const isMethodShown = (i) => shownMethod === "" || messages.methods[messages.method[i]] === shownMethod;
  // Where arrows leave and land: under the text of a server's band.
  const middleOf = (lane) => lane.y + (lane.kind === "server" ? 17 : Math.min(lane.height, 20) / 2);

  // An arrow for each message in view, if they are few enough; else only those of the selected message or operation.
  function drawArrows() {
    arrows = [];
    bars = [];
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
      bars.push([2 * i, left, left + wide, middleOf(b)]);
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
    arrows.push([key, fromX, fromY, toX, toY]);
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
      if (written.some(([x, y, w]) => left < x + w && x < left + wide && Math.abs(middle - y) < 12)) continue;
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
    for (const [key, ax, ay, bx, by] of arrows) {
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

  // Writes the first of the texts that fits, on the ground's colour: what is under it is hatched.
  function plate(texts, left, right, y) {
    pen.font = "11px system-ui, sans-serif";
    const text = texts.find((one) => pen.measureText(one).width + 6 <= right - left);
    if (!text) return;
    pen.fillStyle = colours.ground;
    pen.fillRect(left + 1, y - 6, pen.measureText(text).width + 5, 12);
    write(text, left, right, y, colours.text);
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
        written.push([left, y + 25, pen.measureText(text).width + 12]);
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

  // The text about the selection.

  const kinds = {
    line: "log",
    start: "start",
    apply: "apply",
    failure: "failure",
    state: "role and term",
    silent: "role and term",
    mode: "network",
    groups: "who reaches whom",
  };

  function headline(item) {
    if (item.kind === "message")
      return `${item.lane.name} \u2192 ${item.other.name}: ${item.key & 1 ? "reply to " : ""}${item.method}`;
    if (item.kind === "operation") return `${item.lane.name}: ${item.what} ${item.result}`;
    if (item.kind === "failure") return `${item.lane.name}: the failure`;
    if (item.kind === "up" || item.kind === "down") return `${item.lane.name} ${item.what}`;
    const topic = item.kind === "line" ? ` (${item.topic})` : "";
    return `${item.lane.name}, ${kinds[item.kind]}${topic}: ${item.level ? `${item.level}: ` : ""}${item.what}`;
  }

  function told(item) {
    const texts = [];
    if (item.kind === "message") return toldOfRpc(item.rpc);
    if (item.kind === "operation") {
      texts.push(
        item.pending
          ? `Called at ${seconds(item.t)}; pending when the test ended.`
          : `Called at ${seconds(item.t)}, returned at ${seconds(item.end)}, took ${span(item.end - item.t)}.`,
      );
    } else {
      const lasts = item.until ? `; this holds until ${item.until === end ? "the end of the test" : seconds(item.until)}` : "";
      texts.push(item.end > item.t ? `From ${seconds(item.t)} to ${seconds(item.end)}.` : `At ${seconds(item.t)}${lasts}.`);
    }
    if (item.finding && item.verdict === "broken") texts.push(`✗ This breaks the history. ${item.finding.note}`);
    else if (item.kind === "failure") texts.push(`✗ ${item.what}`);
    else if (item.verdict === "broken") texts.push(`✗ The failure is about this: ${firstLine}`);
    else if (item.verdict === "refused") texts.push("It cannot come next in the order either.");
    else if (item.verdict === "after") texts.push("The order ends before this operation.");
    else if (item.number) texts.push(`Number ${item.number} in the longest order that explains the results.`);
    return texts;
  }

  function toldOfRpc(i) {
    const { sent, arrived, answered, ended } = messages;
    const after = (t, before) => `${seconds(t)}, ${span(t - before)} later`;
    const texts = [`The request left at ${seconds(sent[i])}${arrived[i] >= 0 ? `. It reached its handler at ${after(arrived[i], sent[i])}` : ""}.`];
    if (answered[i] >= 0) texts.push(`The handler returned at ${after(answered[i], arrived[i])}.`);
    if (messages.hasReply(i)) texts.push(`The reply arrived at ${after(ended[i], answered[i])}.`);
    else if (ended[i] >= 0) texts.push(`The call failed at ${after(ended[i], sent[i])}.`);
    const fate = fateOf(i);
    if (fate) texts.push(fate);
    if (messages.isHeldBack(i)) texts.push("Reordering held the reply back.");
    const by = arrived[i] >= 0 ? messages.overtaken(i) : 0;
    if (by > 0) texts.push(`Reordered: ${by} sent after it on the same way arrived before it.`);
    return texts;
  }

  // What an RPC holds.
  function contentsOf(i) {
    const missing = "not on this page: only the messages nearest to the failure have their contents here";
    const [args, reply] = [messages.text(i, 0), messages.text(i, 1)];
    const parts = [element("h3", "Arguments"), element("pre", args || missing)];
    if (messages.answered[i] >= 0) parts.push(element("h3", "Reply"), element("pre", reply || missing));
    return parts;
  }

  const brief = (text) => (text && text.length > 160 ? `${text.slice(0, 160)}\u2026` : text || "");

  // A table of RPCs: a click selects the reply, if it came, else the request.
  function rpcTable(caption, rpcs) {
    const items = rpcs.map((i) => messageItem(messages.hasReply(i) ? 2 * i + 1 : 2 * i));
    return table(
      caption,
      ["left at", "to", "reply"],
      rpcs.map((i) => [
        seconds(messages.sent[i]),
        (laneOf(messages.to[i]) || { name: "?" }).name,
        messages.hasReply(i) ? brief(messages.text(i, 1)) || "a reply" : fateOf(i),
      ]),
      items,
    );
  }

  // The RPCs that an operation sent, and who answered it.
  function rpcsOf(operation) {
    if (operation.lane.kind !== "client") return [];
    // A client sends the first request of its next operation in the microsecond in which it ends the one before.
    const isOwn = (i) => (operation.pending || messages.sent[i] < operation.end) && laneOf(messages.to[i]);
    return messages.sentBy(codeOf(operation.lane), operation.t, operation.end).filter(isOwn);
  }

  // The RPC whose reply ended an operation: the last one that came before its end.
  function answerOf(operation) {
    if (operation.pending) return undefined;
    const came = rpcsOf(operation).filter((i) => messages.hasReply(i) && messages.ended[i] <= operation.end);
    return came.sort((a, b) => messages.ended[a] - messages.ended[b]).pop();
  }

  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function table(caption, heads, rows, items) {
    const made = element("table");
    made.append(element("caption", caption));
    const head = made.createTHead().insertRow();
    heads.forEach((text) => head.append(element("th", text)));
    const body = made.createTBody();
    rows.forEach((cells, i) => {
      const row = body.insertRow();
      cells.forEach((cell) => row.append(element("td", cell)));
      if (items[i] === selected) row.className = "chosen";
      row.addEventListener("click", () => go(items[i]));
    });
    return made;
  }

  // What happened on all lanes while the selected item went on, and shortly before and after it; while an operation ran, nothing
  // more. For a server's item: the messages of that server that are nearest to it, too.
  function around(item) {
    const margin = item.kind === "operation" ? 0 : NEAR,
      [from, to] = [Math.max(0, item.t - margin), item.end + margin];
    const lines = lanes.flatMap((lane) => lane.items.slice(firstFrom(lane.items, "t", from), firstFrom(lane.items, "t", to + 1)));
    const near = lines.filter((one) => timely.has(one.kind) && isShown(one));
    if (item.lane.kind === "server" && item.kind !== "message") {
      const sent = messages.leftAt(codeOf(item.lane), from, to).map(messageItem).filter(Boolean);
      sent.sort((a, b) => Math.abs(a.t - item.t) - Math.abs(b.t - item.t));
      near.push(...sent.slice(0, MOST_LISTED));
    }
    return near.sort((a, b) => a.t - b.t);
  }

  function captionOfAround(item, shown, all) {
    const lasts = item.end > item.t ? `During this, and ${span(NEAR)} around it` : `Within ${span(NEAR)}`,
      when = item.kind === "operation" ? "While it ran" : lasts;
    return when + (all > shown ? `: ${shown} of ${all}` : "");
  }

  const timely = new Set(["line", "start", "apply", "failure", "up", "down", "state", "silent"]);

  function tell(item) {
    $("said").replaceChildren(
      element("h2", headline(item)),
      ...told(item).map((text) => element("p", text, text.startsWith("✗") ? "bad" : "")),
      ...besideTheFailure(item),
    );
    const tables = [];
    if (item.kind === "message") {
      tables.push(...contentsOf(item.rpc), causality(item));
      if (item.lane.kind === "server" && item.other.kind === "server")
        tables.push(...clientTable(`${messages.text(item.rpc, 0)} ${messages.text(item.rpc, 1)}`, item.t));
    }
    if (signs.has(item.kind)) tables.push(...clientTable(item.what, item.t));
    if (item.kind === "operation") {
      const rpcs = rpcsOf(item),
        answer = answerOf(item);
      if (answer !== undefined) tables.push(answeredBy(answer));
      if (rpcs.length > 0)
        tables.push(
          rpcTable(
            `Its RPCs${rpcs.length > MOST_LISTED ? `: the last ${MOST_LISTED} of ${rpcs.length}` : ""}`,
            rpcs.slice(-MOST_LISTED),
          ),
        );
    }
    if (item.finding && item.verdict === "broken") {
      const last = item.finding.order.slice(-8);
      tables.push(
        table(
          "The end of the order that explains the results",
          ["", "called", "operation"],
          last.map((one) => [`${one.number}.`, seconds(one.t), `${one.lane.name}: ${one.what} ${one.result}`]),
          last,
        ),
      );
    }
    const lines = around(item);
    if (lines.length > 0) {
      // Begin with the operation's call, or half a list before the selected instant.
      const begin = Math.max(0, item.kind === "operation" ? 0 : lines.indexOf(item) - MOST_NEAR / 2);
      const shown = lines.slice(begin, begin + MOST_NEAR);
      tables.push(
        table(
          captionOfAround(item, shown.length, lines.length),
          ["at", "where", "what"],
          shown.map((near) => [
            seconds(near.t),
            near.lane.name,
            near.topic ? `${near.topic}: ${near.what}` : near.what,
          ]),
          shown,
        ),
      );
    }
    $("around").replaceChildren(...tables);
    $("detail").scrollTop = 0;
  }

  // From what the failure comes from to where the test noticed it, and back.
  function besideTheFailure(item) {
    const cause = causeOfFailure();
    if (!cause || cause === focus || (item !== cause && item !== focus)) return [];
    const [t, what] = data.story[data.cause];
    const button = (text, other) => {
      const made = element("button", text, "answer");
      made.addEventListener("click", () => go(other, true));
      return made;
    };
    if (item === focus) return [button(`It comes from this, at ${seconds(t)}: ${what}`, cause)];
    const late = focus.kind === "failure" || focus.pending ? end - t : focus.t - t;
    return [
      element("p", `✗ The failure comes from this: ${what}.`, "bad"),
      button(`The test noticed it ${span(late)} later: ${firstLine}`, focus),
    ];
  }

  // A button that selects the reply that ended an operation.
  function answeredBy(i) {
    const button = element("button", `Answered by ${laneOf(messages.to[i]).name}: ${brief(messages.text(i, 1)) || "see the reply"}`);
    button.className = "answer";
    button.addEventListener("click", () => go(messageItem(2 * i + 1)));
    return button;
  }

  // Cause and effect.

  // What led to a message: { item, at, words }, or { words, text } if it is nothing that can be selected.
  function causeOf(item) {
    const isReply = (item.key & 1) === 1,
      before = item.lane.items.slice(0, firstFrom(item.lane.items, "t", item.t + 0.5)),
      started = before.filter((one) => one.kind === "up").pop();
    const { key, timer, quiet, election } = messages.trigger(item.key, started ? started.t : 0);
    const came = messageItem(key);
    if (isReply) return came && { item: came, at: came.end, words: "\u2190 the request that it answers arrived" };
    // A client sends because the test has called it, a server because it was given a command, unless a message came after that.
    const [kind, words] = item.lane.kind === "client" ? ["operation", "\u2190 the test called it"] : ["start", "\u2190 it was given a command"];
    const given = before.filter((one) => one.kind === kind).pop();
    const since = timer ? item.t - quiet : came ? came.end : -1;
    if (given && !election && timer !== "election timer" && given.t >= since && item.t - given.t < 20000)
      return { item: given, at: given.t, words };
    if (election !== undefined) {
      const first = messageItem(election);
      return first && { item: first, at: first.t, words: `\u2190 the same election as at ${seconds(first.t)}` };
    }
    if (timer) return { words: `\u2190 its ${timer}`, text: `${item.lane.name} sent this on its own: ${onItsOwn(item, timer, quiet)}` };
    return came && { item: came, at: came.end, words: "\u2190 its sender had received" };
  }

  // Why a server sent a message without having received one. An election follows from silence; a leader's messages come regularly.
  function onItsOwn(item, timer, quiet) {
    if (timer !== "election timer") {
      const before = messages.sentBefore(item.rpc);
      return before < 0
        ? `it is its first request to ${item.other.name}`
        : `its last request to ${item.other.name} had left ${span(item.t - messages.sent[before])} before`;
    }
    if (quiet >= item.t) return "it had received nothing before";
    return quiet > 20000
      ? `it had received nothing for ${span(quiet)}`
      : `the message that it had received ${span(quiet)} before does not make a server ask for votes`;
  }

  // What led to a message, and what it led to.
  function causality(item) {
    const isReply = (item.key & 1) === 1,
      rows = [causeOf(item)];
    // What a server hears while a handler runs can be why it answers as it does.
    const heard = isReply ? messages.heard(item.key) : undefined;
    if (heard !== undefined && heard !== item.key - 1 && messages.arrives(heard) >= messages.arrived[item.rpc])
      rows.push({ item: messageItem(heard), at: messages.arrives(heard), words: "until then its sender received last" });
    rows.push({ item, at: item.t, words: "selected: it left" });
    const effect = messageItem(messages.effect(item.key));
    if (effect) {
      const ofRequest = effect.key === item.key + 1 ? "its receiver answered" : "its receiver sent, before it answered";
      const words = isReply ? `its receiver sent next, ${span(effect.t - item.end)} after it arrived` : ofRequest;
      rows.push({ item: effect, at: effect.t, words: `\u2192 ${words}` });
    }
    const there = rows.filter((row) => row && (row.item || row.text));
    const made = table(
      "Cause and effect",
      ["at", "", "what"],
      there.map(({ item: one, at, words, text }) => [one ? seconds(at) : "", words, one ? headline(one) : text]),
      there.map(({ item: one }) => one),
    );
    made.className = "causes";
    return made;
  }

  // Clients by their numbers.

  // The numbers by which clients call themselves in their requests: a field whose number is the same in all requests of a
  // client, and that no other client sends. The lane of each number.
  let ids;
  function clientIds() {
    if (ids) return ids;
    ids = new Map();
    const fields = new Map();
    for (let i = messages.first; i < messages.first + messages.described; i++) {
      if (messages.from[i] < 0) continue;
      const args = (messages.text(i, 0) || "").slice(0, 400);
      for (const [, name, number] of args.matchAll(/(\w+): (?:\w+\()?(\d+)(?=[,)} ]|$)/g)) {
        const numbers = fields.get(name) || fields.set(name, new Map()).get(name);
        const lanes = numbers.get(number) || numbers.set(number, new Map()).get(number);
        lanes.set(messages.from[i], (lanes.get(messages.from[i]) || 0) + 1);
      }
    }
    for (const [name, numbers] of fields) {
      const isNamed = /client|clerk/i.test(name);
      // How many requests of each lane have the field, and how many numbers they have.
      const counts = new Map();
      for (const lanes of numbers.values())
        for (const [lane, n] of lanes) {
          const [requests, different] = counts.get(lane) || [0, 0];
          counts.set(lane, [requests + n, different + 1]);
        }
      for (const [number, lanes] of numbers) {
        if (lanes.size !== 1 || (number.length < 4 && !isNamed)) continue;
        const [lane] = lanes.keys(),
          [requests, different] = counts.get(lane);
        // A client that restarts has another number; a number that counts requests is different in each of them.
        if (isNamed || (requests > 2 * different && different <= 3)) ids.set(number, laneOf(lane));
      }
    }
    return ids;
  }

  // The clients whose numbers are in a text, each as [number, lane].
  function clientsIn(text) {
    const found = new Map();
    for (const match of (text || "").matchAll(/(?<![\w.])(?:0x[0-9a-f]+|\d+)(?![\w.])/gi)) {
      const number = match[0].startsWith("0x") ? BigInt(match[0]).toString() : match[0];
      const lane = clientIds().get(number);
      // A short number can be anything, unless it stands behind the word.
      const isSaid = number.length >= 4 || /(client|clerk)[\w ]{0,8}[:=(\s]{0,3}$/i.test(text.slice(0, match.index));
      if (lane && isSaid) found.set(number, lane);
    }
    return [...found];
  }

  // A table of the clients whose numbers are in a text. A click selects what the client did at a time.
  function clientTable(text, t) {
    const clients = clientsIn(text).slice(0, MOST_LISTED);
    if (clients.length === 0) return [];
    const items = clients.map(([, lane]) => nearest(lane, t));
    const made = table(
      "Clients in this text",
      ["number", "client", "what it did then"],
      clients.map(([number, lane], i) => [number, lane.name, items[i] ? `${items[i].what} ${items[i].result || ""}` : ""]),
      items,
    );
    made.classList.add("clients");
    return [made];
  }

  // Selecting and moving.

  // Selects an item. What is in view stays where it is.
  function select(item) {
    if (!item) return;
    selected = item;
    selectedRpcs = item.kind === "message" ? [item.rpc] : item.kind === "operation" ? rpcsOf(item).slice(-MOST_LISTED) : [];
    tell(item);
    markEvent();
    redraw();
  }

  // Selects an item, and moves the view if the item is not in it; `closer`: zooms to the item in any case.
  function go(item, closer) {
    if (!item) return;
    select(item);
    // The server that answered an operation is in view too, if there is room for both.
    const answer = item.kind === "operation" ? answerOf(item) : undefined;
    if (answer !== undefined) bringIntoView(laneOf(messages.to[answer]));
    if (item.other) bringIntoView(item.other);
    bringIntoView(item.lane);
    const wide = view.to - view.from;
    // A message is an arrow only if there are not too many.
    const hasNoArrow = item.kind === "message" && (inView() > MOST_ARROWS || shownMethod === "none");
    if (closer || hasNoArrow) zoomTo(item);
    else if (!isInView(item)) look(item.t - wide / 2, item.t + wide / 2);
  }

  // Whether the view is so wide that an item in it has less than a part of the width, or an instant no room of its own.
  function isTooSmall(item, part) {
    const [first, last] = extent(item),
      wide = view.to - view.from;
    return last > first ? last - first < wide * part : wide > 2.1 * aroundInstant();
  }

  // How much of the test is shown before and after an instant.
  const aroundInstant = () => Math.min(2e5, end / 20);

  // From when to when an item goes on, for the view. A message: the whole exchange, from the request to the reply.
  function extent(item) {
    if (item.kind === "message") {
      const { sent, arrived, answered, ended } = messages,
        i = item.rpc;
      return [sent[i], Math.max(sent[i], arrived[i], answered[i], messages.hasReply(i) ? ended[i] : -1)];
    }
    // What made an operation hang was at its beginning.
    if (item.kind === "operation") return [item.t, item.pending ? Math.min(end, item.t + 4e5) : item.end];
    return [item.t, item.t];
  }

  // Zooms so that an item, with something before and after it, is in view.
  function zoomTo(item) {
    const [first, last] = extent(item);
    const margin = last > first ? (last - first) * 0.75 : aroundInstant();
    look(first - margin, last + margin);
  }

  function bringIntoView(lane) {
    const top = lanes.slice(0, lanes.indexOf(lane)).reduce((sum, before) => sum + before.height + size.gap, 0);
    // Leave room for the hint that there is more.
    if (top - HINT < view.y) scroll(top - HINT);
    if (top + lane.height + HINT > view.y + room()) scroll(top + lane.height + HINT - room());
  }

  // The way that the keys ← and → have gone: [from, direction, to]. The opposite key goes back. Another selection ends the way.
  let way = [];
  function along(direction) {
    const [from, gone, to] = way[way.length - 1] || [];
    if (to !== selected) way = [];
    else if (gone === -direction) {
      way.pop();
      return from;
    }
    const next = beside(direction);
    if (next && next !== selected) way.push([selected, direction, next]);
    return next;
  }

  // The next visible item in the lane, in either direction. For a message: what led to it, or what it led to.
  function beside(direction) {
    if (selected.kind === "message") {
      if (direction > 0) return messageItem(messages.effect(selected.key));
      const cause = causeOf(selected);
      return cause && cause.item;
    }
    const items = selected.lane.items;
    let i = items.indexOf(selected) + direction;
    while (i >= 0 && i < items.length && !isShown(items[i])) i += direction;
    return items[i];
  }

  // The nearest item in view in the next lane that has one.
  function inOtherLane(direction) {
    for (let i = lanes.indexOf(selected.lane) + direction; i >= 0 && i < lanes.length; i += direction) {
      const near = nearest(lanes[i], selected.t, isInView);
      if (near) return near;
    }
    return undefined;
  }

  const isInView = (item) => item.t <= view.to && (item.until || item.end) >= view.from;

  // The item of a lane that is nearest to a time; among equals the last.
  function nearest(lane, t, isWanted = () => true) {
    let best,
      distance = Infinity;
    for (const item of lane.items) {
      if (!isShown(item) || !isWanted(item)) continue;
      const away = item.t > t ? item.t - t : item.end < t ? t - item.end : 0;
      if (away <= distance) {
        best = item;
        distance = away;
      }
    }
    return best;
  }

  // Going to the failure.

  // The item of the event that the failure comes from, if the test noticed it later.
  let causeItem;
  function causeOfFailure() {
    if (causeItem === undefined) causeItem = (typeof data.cause === "number" && itemOf(data.cause)) || null;
    return causeItem;
  }

  // Goes to what the failure comes from; from there, to where the test noticed it.
  function goToFailure() {
    chart.focus({ preventScroll: true });
    const cause = causeOfFailure();
    if (cause && cause !== selected) {
      go(cause, true);
      // What happened just before and after it is in view too.
      lookAround(extent(cause), [focus.t, ...data.story.map(([t]) => t)].filter((t) => Math.abs(t - cause.t) < 6e4));
      return;
    }
    go(focus, true);
    if (focus.pending) {
      // What made an operation hang was at its beginning.
      look(focus.t - 2e4, Math.max(focus.t + 4e5, ...data.story.map(([t]) => t + 1e5)));
      return;
    }
    // What led to it is in view too, unless that would make the failure itself too small to read. If nobody knows what it is about,
    // what happened before is worth a wider look.
    const [first, last] = extent(focus),
      most = focus.kind === "failure" ? 2e6 : Math.max(2 * (last - first), 2e4);
    const explained = focus.finding ? focus.finding.order.slice(-1).flatMap((item) => extent(item)) : [];
    const led = [...data.story.map(([t]) => t), ...explained].filter((t) => t <= last && last - t <= most);
    if (focus.kind === "failure" && led.length === 0) led.push(Math.max(0, last - most));
    lookAround([first, last], led);
  }

  // Shows some times, with a margin: a wide one around `main`, a small one around the others.
  function lookAround(main, others) {
    const [first, last] = [Math.min(...main), Math.max(...main)],
      [from, to] = [Math.min(first, ...others), Math.max(last, ...others)];
    const margin = Math.max(0.15 * (to - from), 500),
      wide = (last - first) / 2;
    look(Math.min(first - wide, from - margin), Math.max(last + wide, to + margin));
  }

  // The list of what happened before.

  // The item that shows an event of the story, by the event's number.
  const itemsOfStory = [];
  const itemOf = (number) => (itemsOfStory[number] ||= itemOfEvent(data.story[number]));

  // Marks the line of the story that was clicked, or else the first that tells of the selected item.
  function markEvent(clicked) {
    const number = clicked ?? data.story.findIndex((_, one) => selected && itemOf(one) === selected);
    document.querySelectorAll("#story button").forEach((button, i) => {
      if (i === number) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
  }

  // The item that shows an event of the story. If the event does not name it, its text does.
  function itemOfEvent([t, what, shown]) {
    const [kind, number] = shown || [];
    if (kind === "operation") return operationById.get(number);
    if (kind === "mark") return markById.get(number);
    if (kind === "server") return itemOnServer(serverLanes[number], t, what);
    // "server 1 crashes", "servers [0, 2] stand still", "all servers start again".
    const [, all, named] = /^(?:(all servers)|servers? \[?(\d+))/.exec(what) || [],
      isOfNetwork = /reach|cut off|divided|partition/.test(what),
      lane = serverLanes[all ? 0 : named];
    return lane && !isOfNetwork ? itemOnServer(lane, t, what) : itemOnNetwork(t, what);
  }

  // What an event says of a server: it crashes or starts, sends a message, or changes its role. The event can be noted later.
  function itemOnServer(lane, t, what) {
    if (!lane) return undefined;
    const closest = (items) => items.reduce((best, item) => (best && Math.abs(best.t - t) < Math.abs(item.t - t) ? best : item), undefined);
    const [, starts, crashes] = /^\w[^{:]*?\b(?:((?:re)?start)|(crash))/.exec(what) || [];
    if (starts || crashes) {
      const kind = starts ? "up" : "down";
      return closest(lane.items.filter((item) => item.kind === kind && item.t <= t + AT_ONCE)) || nearest(lane, t);
    }
    const term = (/\bleads in term (\d+)/.exec(what) || [])[1];
    const leads = term && closest(lane.items.filter((item) => item.kind === "state" && item.leads && item.term === Number(term)));
    if (leads) return leads;
    const message = messageItem(messages.sentAt(codeOf(lane), t)),
      changes = lane.items.filter((item) => item.t === t && (item.kind === "state" || item.kind === "silent"));
    return (/\b(sends|votes|answers)\b/.test(what) && message) || changes.pop() || message || nearest(lane, t);
  }

  // What begins on the network with an event. The network changes link by link, so that it can be a moment later.
  function itemOnNetwork(t, what) {
    const kind = /network/.test(what) ? "mode" : "groups",
      begins = network.items.filter((item) => item.kind === kind);
    return begins.find((item) => Math.abs(item.t - t) <= AT_ONCE) || begins.filter((item) => item.t <= t).pop() || begins[0];
  }

  function tellStory() {
    const list = $("story").querySelector("ol"),
      texts = timesOfStory();
    $("story").hidden = data.story.length === 0;
    $("omitted").hidden = data.storyLeftOut === 0;
    $("omitted").textContent = `What happened before (${quoted(data.storyLeftOut, "earlier event")} left out):`;
    // A short story has the whole width for each event.
    list.style.setProperty("--rows", data.story.length > 7 ? Math.ceil(data.story.length / 2) : data.story.length);
    data.story.forEach((event, number) => {
      const entry = element("li"),
        button = element("button", `${texts[number]} s  ${event[1]}`);
      if (number === data.cause) button.className = "bad";
      button.addEventListener("click", () => {
        const item = itemOf(number);
        const isAll = item && extent(item).every((t) => t >= view.from && t <= view.to);
        go(item, item && (!isAll || isWhole() || isTooSmall(item, 1 / 12)));
        markEvent(number);
      });
      entry.append(button);
      list.append(entry);
    });
    // The last events matter most.
    list.scrollTop = list.scrollHeight;
  }

  // The times of the story's events, with as many digits as in the terminal; in microseconds where different times would look alike.
  function timesOfStory() {
    const short = (t) => (t / 1e6).toFixed(4),
      times = [...new Set(data.story.map(([t]) => t))];
    const isAmbiguous = (t) => times.some((other) => other !== t && short(other) === short(t));
    return data.story.map(([t]) => (isAmbiguous(t) ? (t / 1e6).toFixed(6) : short(t)));
  }

  // Finding. Items are searched at once, messages in turns of a few milliseconds: there can be very many.
  const TURN = 6;
  // The messages that are found: at most one of an RPC, in the order in which the RPCs were sent; and the times of sending.
  let foundKeys = [],
    foundTimes = [],
    // The messages that lines of the story with the word tell of: the RPC's number, and the message's key.
    toldKeys = new Map(),
    // Which RPCs are found.
    isFoundRpc = new Uint8Array(messages.count),
    // All that is found, in the order of time; null: to be made again. Messages are in it as their keys.
    hits = null,
    // The number of the search; an older one ends.
    search = 0,
    isSearching = false,
    // When a search that goes on shows again how far it is.
    nextReport = 0;

  const timeOfHit = (hit) => (typeof hit === "number" ? messages.sent[hit >> 1] : hit.t);
  const itemOfHit = (hit) => (typeof hit === "number" ? messageItem(hit) : hit);

  function allHits() {
    if (hits) return hits;
    hits = [];
    let i = 0;
    for (const item of found) {
      while (i < foundKeys.length && foundTimes[i] < item.t) hits.push(foundKeys[i++]);
      hits.push(item);
    }
    while (i < foundKeys.length) hits.push(foundKeys[i++]);
    return hits;
  }

  // The message of an RPC that has the text: the request, with its method and what became of it, or the reply. -1: neither.
  function foundIn(i, text) {
    const has = (one) => one !== undefined && one !== null && one.includes(text);
    if (toldKeys.has(i)) return toldKeys.get(i);
    if (has(messages.methods[messages.method[i]]) || has(messages.text(i, 0))) return 2 * i;
    if (has(messages.text(i, 1))) return messages.answered[i] >= 0 ? 2 * i + 1 : 2 * i;
    // Most RPCs end well, and there is nothing to say.
    if (messages.fate(i) === 0 && messages.hasReply(i)) return -1;
    return laneOf(messages.from[i]) && laneOf(messages.to[i]) && has(fateOf(i)) ? 2 * i : -1;
  }

  function searchMessages(text, from, mine) {
    if (mine !== search) return;
    const until = performance.now() + TURN;
    let i = from;
    for (; i < messages.count && (i % 64 > 0 || performance.now() < until); i++) {
      if (shownMethod !== "" && !isMethodShown(i)) continue;
      const key = foundIn(i, text);
      if (key < 0) continue;
      foundKeys.push(key);
      foundTimes.push(messages.sent[i]);
      isFoundRpc[i] = 1;
      hits = null;
    }
    isSearching = i < messages.count;
    if (isSearching) setTimeout(() => searchMessages(text, i, mine));
    if (isSearching && performance.now() < nextReport) return;
    nextReport = performance.now() + 200;
    sayFound();
    redraw();
  }

  // The next or the previous hit, seen from the selection; behind the last one comes the first.
  function nextFound(direction = 1) {
    const all = allHits();
    if (all.length === 0) return;
    const own = selected ? all.indexOf(selected.kind === "message" ? selected.key : selected) : -1;
    let at;
    if (own >= 0) at = own + direction;
    else {
      let low = 0,
        high = all.length;
      const t = selected ? selected.t : -Infinity;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (timeOfHit(all[middle]) < t) low = middle + 1;
        else high = middle;
      }
      at = direction > 0 ? low : low - 1;
    }
    const hit = all[(at + all.length) % all.length];
    const item = itemOfHit(hit);
    go(item, isTooSmall(item, 1 / 100));
    sayFound();
  }

  function sayFound() {
    const all = word === "" ? 0 : found.length + foundKeys.length;
    const own = selected && all > 0 && !isSearching ? allHits().indexOf(selected.kind === "message" ? selected.key : selected) : -1;
    const parts = [`${own >= 0 ? `${own + 1} of ` : ""}${quoted(all, "hit")}`];
    if (isSearching) parts.push("searching …");
    $("found").textContent = word === "" ? "" : parts.join(", ");
    $("found").title = [
      `${foundKeys.length} in messages.`,
      messages.count > messages.described
        ? `Arguments and replies are searched where this page has them: of ${messages.described} of ${messages.count} RPCs, those nearest to the failure.`
        : "",
    ].join(" ");
    $("before").disabled = $("next").disabled = all === 0;
  }

  function find(text) {
    word = text;
    const items = lanes.flatMap((lane) => lane.items).filter((item) => isFound(item) && isShown(item)),
      told = text === "" ? [] : findInStory(text);
    found = [...new Set([...items, ...told.filter((item) => item.kind !== "message")])].sort((a, b) => a.t - b.t);
    toldKeys = new Map(told.filter((item) => item.kind === "message").map((item) => [item.rpc, item.key]));
    foundKeys = [];
    foundTimes = [];
    isFoundRpc.fill(0);
    hits = null;
    isSearching = false;
    nextReport = performance.now() + 200;
    search++;
    if (text !== "" && messages.count > 0 && shownMethod !== "none") searchMessages(text, 0, search);
    sayFound();
    redraw();
  }

  // The items that the lines of the story with the text tell of.
  function findInStory(text) {
    const numbers = data.story.flatMap(([, what], number) => (what.includes(text) ? [number] : []));
    return numbers.map(itemOf).filter(Boolean);
  }

  // Keys and mouse.

  function keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const start = () =>
      selected || focus || nearest(lanes.find((lane) => lane.items.length > 0) || lanes[0], view.from);
    const move = {
      ArrowLeft: () => along(-1),
      ArrowRight: () => along(1),
      ArrowUp: () => inOtherLane(-1),
      ArrowDown: () => inOtherLane(1),
      Home: () => selected.lane.items.find(isShown),
      End: () => selected.lane.items.filter(isShown).pop(),
    }[event.key];
    const act = {
      "+": () => zoom(0.5),
      "=": () => zoom(0.5),
      "-": () => zoom(2),
      0: whole,
      f: goToFailure,
      n: () => nextFound(1),
      N: () => nextFound(-1),
      Enter: () => go(selected, true),
      PageDown: () => scroll(view.y + room() * 0.8),
      PageUp: () => scroll(view.y - room() * 0.8),
    }[event.key];
    if (!move && !act) return;
    event.preventDefault();
    if (act) act();
    else go(selected ? move() : start());
  }

  function itemAt(px, py) {
    if (py < AXIS || py > height - OVERVIEW) return undefined;
    const lane = lanes.find((one) => py >= one.y && py < one.y + one.height + size.gap);
    const arrow = arrowAt(px, py);
    // Among many arrows, what stands on the lane itself comes first.
    return (arrows.length < 150 && (arrow || handlerAt(px, py))) || itemOn(lane, px, py) || arrow;
  }

  // The request whose handler ran at a point: its bar is there.
  function handlerAt(px, py) {
    const bar = bars.find(([, left, right, y]) => px >= left - 1 && px <= right + 1 && Math.abs(py - y) <= 3);
    return bar && messageItem(bar[0]);
  }

  function itemOn(lane, px, py) {
    if (!lane) return undefined;
    const t = time(px),
      down = py - lane.y;
    if (lane.kind === "server") {
      // From the top: the band, the strip of the groups if there is one, and the instants.
      const isNow = (item) => item.letters && item.letters[lane.number] && t >= item.t && t <= item.end;
      if (down < 19) return (lane.spans.find(([from, to]) => t >= from && t <= to) || [])[3];
      const groups = down < Math.min(19 + size.strip, size.instants) && groupItems.find(isNow);
      if (groups) return groups;
    }
    const slack = (5 * (view.to - view.from)) / Math.max(width - NAMES, 1),
      row = lane.rows && Math.floor(down / size.operation);
    let best,
      distance = slack;
    for (const item of lane.items) {
      if (item.t > t + slack) break;
      if (!isShown(item) || (item.kind === "operation" && item.row !== row)) continue;
      if (lane.kind === "network" && (item.kind === "mode") !== down < 19) continue;
      const away = item.t > t ? item.t - t : item.end < t ? t - item.end : 0;
      if (away <= distance) {
        best = item;
        distance = away;
      }
    }
    return best;
  }

  function tip(event) {
    const box = canvas.getBoundingClientRect(),
      px = event.clientX - box.left,
      py = event.clientY - box.top;
    const item = px > NAMES ? itemAt(px, py) : undefined;
    $("tip").hidden = !item;
    canvas.style.cursor = item ? "pointer" : "grab";
    if (!item) return;
    $("tip").textContent = `${headline(item)} — ${told(item)[0]}`;
    $("tip").style.left = `${Math.min(px + 14, width - 330)}px`;
    $("tip").style.top = py > height / 2 ? "" : `${py + 16}px`;
    $("tip").style.bottom = py > height / 2 ? `${height - py + 10}px` : "";
  }

  function listen() {
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      const box = canvas.getBoundingClientRect();
      drag = {
        x: event.clientX,
        y: event.clientY,
        from: view.from,
        to: view.to,
        top: view.y,
        moved: false,
        overview: event.clientY - box.top > height - OVERVIEW,
      };
      canvas.setPointerCapture(event.pointerId);
      $("tip").hidden = true;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return tip(event);
      const dx = event.clientX - drag.x,
        dy = event.clientY - drag.y;
      drag.moved ||= Math.abs(dx) + Math.abs(dy) > 4;
      if (!drag.moved) return;
      const shift = drag.overview ? (dx * (STOP - BEGIN)) / (width - NAMES) : (-dx * (drag.to - drag.from)) / (width - NAMES);
      look(drag.from + shift, drag.to + shift);
      if (!drag.overview) scroll(drag.top - dy);
    });
    canvas.addEventListener("pointerup", (event) => {
      const box = canvas.getBoundingClientRect(),
        px = event.clientX - box.left;
      if (drag && !drag.moved && drag.overview) {
        const t = timeOfSmall(px),
          wide = view.to - view.from;
        look(t - wide / 2, t + wide / 2);
      } else if (drag && !drag.moved) {
        const y = event.clientY - box.top,
          hint = hints.find(([top, bottom]) => px < 330 && y >= top && y < bottom);
        if (hint) {
          scroll(view.y + hint[2] * room() * 0.7);
          drag = null;
          return;
        }
        select(itemAt(px, event.clientY - box.top));
      }
      drag = null;
    });
    canvas.addEventListener("pointerleave", () => {
      $("tip").hidden = true;
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = canvas.getBoundingClientRect(),
          px = event.clientX - box.left,
          wide = view.to - view.from;
        const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
        if (px < NAMES) scroll(view.y + event.deltaY);
        else if (Math.abs(sideways) > Math.abs(event.deltaY) || event.shiftKey)
          look(view.from + (sideways * wide) / 800, view.to + (sideways * wide) / 800);
        else zoom(Math.exp(event.deltaY * 0.002), time(px));
      },
      { passive: false },
    );
    chart.addEventListener("keydown", keyDown);
    $("failure").addEventListener("click", goToFailure);
    $("all").addEventListener("click", whole);
    $("closer").addEventListener("click", () => zoom(0.5));
    $("farther").addEventListener("click", () => zoom(2));
    $("find").addEventListener("input", (event) => find(event.target.value));
    $("find").addEventListener("keydown", (event) => {
      if (event.key === "Enter") nextFound(event.shiftKey ? -1 : 1);
    });
    $("before").addEventListener("click", () => nextFound(-1));
    $("next").addEventListener("click", () => nextFound(1));
    $("method").addEventListener("change", (event) => {
      chooseMethod(event.target.value);
      find(word);
    });
    $("topic").addEventListener("change", (event) => {
      topic = event.target.value;
      find(word);
    });
    new ResizeObserver(resize).observe(chart);
    for (const id of ["message", "more"]) $(id).addEventListener("click", () => $("message").classList.toggle("open"));
    // On paper, all lanes are there, in dark ink.
    addEventListener("beforeprint", () => onPaper(true));
    addEventListener("afterprint", () => onPaper(false));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      readColours();
      redraw();
    });
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

  // What stands around the chart.

  // A method's name without its service, if no other method has the same.
  function shortName(method) {
    const last = (name) => name.split(".").pop();
    return messages.methods.filter((name) => last(name) === last(method)).length === 1 ? last(method) : method;
  }

  // What the signs mean: those that are on this page.
  function legend() {
    const has = (...kinds) => lanes.some((lane) => lane.items.some((item) => kinds.includes(item.kind)));
    const does = (word) => data.operations.some(([, , , , what]) => what.startsWith(word)),
      isPending = data.operations.some(([, , , ret]) => ret < 0);
    const boxes = `${does("get") ? "; get is paler than put and append" : ""}${isPending ? "; hatched and open: pending" : ""}`;
    const lines = [
      [has("operation"), `A box is an operation, from its call to its return${boxes}.`],
      [data.servers > 0, `A server's band says its term, and is high and dark while it leads${has("down") ? "; hatched: down" : ""}.`],
      [
        groupItems.some((item) => item.letters),
        "The strip under it is the group of servers that it reaches: A is the largest.",
      ],
      [
        has("state"),
        "Terms and roles are asked for every 10 ms, and read from requests for votes and from appends in between, if their " +
          "arguments are on record; a role that no message tells, and that lasts for less than 10 ms, is not shown.",
      ],
      [has("silent"), "A term with a question mark is what a server's messages tell while the server is not asked."],
      [has("start"), "\u25b2 a command was started here."],
      [has("apply"), "\u25cf a command was applied here."],
      [has("line"), "| a line of the log."],
      [data.failed, "\u2717 and a red frame: what the failure is about."],
      [
        data.findings.length > 0,
        "Numbers and a line: the longest order of operations that explains their results; hatched in red: what it does not " +
          "reach. They are shown for one key at a time, the others are faint: for that of the selected operation, or the one " +
          "that broke first.",
      ],
      [
        messages.count > 0,
        "An arrow is a message: a request, or dashed a reply; where it lands, a bar shows how long its handler ran. A pale " +
          "line: it was on its way when the test ended. Each method has its colour. From far away, the lane \u201cmessages\u201d " +
          "shows how many left.",
      ],
      [
        messages.failed.length > 0,
        "A red cross: the message did not arrive. In the lane \u201cmessages\u201d, red is how many failed.",
      ],
    ];
    return lines.filter(([isThere]) => isThere).map(([, text]) => text);
  }

  function fillIn() {
    document.body.classList.add(data.failed ? "failed" : "passed");
    document.querySelector("h1").textContent = data.description || data.name;
    $("verdict").textContent = data.failed ? `✗ FAILED after ${(end / 1e6).toFixed(1)} s` : "✓ passed";
    $("message").textContent = message;
    const lines = message.split("\n").length;
    $("more").hidden = lines <= 3;
    $("more").textContent = `all ${lines} lines`;
    $("failure").hidden = !data.failed;
    const remarks = [];
    if (data.simulation)
      remarks.push(
        `simulation, seed ${data.simulation[0]}: all times are virtual. This replays it:\n  ${data.simulation[1]}`,
      );
    if (data.droppedOperations > 0)
      remarks.push(
        `Only the last ${quoted(data.operations.length, "operation")} are kept; ${data.droppedOperations} before them are not.`,
      );
    if (messages.dropped > 0)
      remarks.push(`Only the last ${quoted(messages.count, "RPC")} are kept; ${messages.dropped} before them are not.`);
    if (data.droppedMarks > 0)
      remarks.push(`Of the starts and applies, ${data.droppedMarks} at the beginning are not kept.`);
    if (data.droppedLines > 0)
      remarks.push(
        `${quoted(data.droppedLines, "line")} of the log were not kept, since that would have slowed the servers; RUST_LOG=debug prints them all.`,
      );
    if (data.linesLeftOut > 0)
      remarks.push(
        `Of the log, the lines nearest to the ${data.failed ? "failure" : "end"} are here; ${data.linesLeftOut} more are in the file beside this page.`,
      );
    if (data.silent)
      remarks.push(
        `Server ${data.silent[0]} has not answered get_state() since ${seconds(data.silent[1])}. The others were not asked from then on; a term with a question mark is what their messages tell.`,
      );
    $("remarks").hidden = remarks.length === 0;
    $("remarks").textContent = remarks.join("\n");
    const topics = [...new Set(data.lines.map((line) => line[2]))].sort();
    $("topic").append(
      new Option("all lines", ""),
      new Option("no lines", "none"),
      ...topics.map((name) => new Option(name, name)),
    );
    $("method").parentElement.hidden = messages.count === 0;
    $("method").append(
      new Option("all", ""),
      new Option("none", "none"),
      ...messages.methods.map((name) => new Option(shortName(name), name)),
    );
    $("legend").replaceChildren(...legend().map((text) => element("li", text)));
    if (data.sought) {
      $("find").value = data.sought;
      find(data.sought);
    }
  }

  readColours();
  fillIn();
  tellStory();
  listen();
  resize();
  whole();
  draw();
  if (data.failed) {
    const cause = causeOfFailure();
    $("said").replaceChildren(
      element("h2", focus ? headline(focus) : "The failure"),
      element("p", focus ? told(focus)[0] : ""),
      ...(cause && cause !== focus ? [element("p", `✗ It comes from this, at ${seconds(data.story[data.cause][0])}: ${data.story[data.cause][1]}.`, "bad")] : []),
      element("p", "“Go to the failure” shows it in the timeline."),
    );
    $("around").replaceChildren(element("h3", "What the test said"), element("pre", message));
  } else {
    $("said").replaceChildren(
      element("p", "Nothing is selected. Click an operation, or use the arrow keys in the chart."),
    );
  }
  document.body.dataset.openedAfter = String(Math.round(performance.now()));
  // For tests of this page.
  window.picture = { lanes, view, draw, zoom, look, go, itemAt, messages, messageItem, clientsIn, causeOf, arrows: () => arrows, selected: () => selected };
})();
