// Reads the data, and makes lanes of it, with the items on them: operations, what happened to servers and the network, log lines.
// rpcs.js makes items of messages.
"use strict";

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const messages = readMessages(data.messages, JSON.parse($("messages").textContent));

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

// Changes that follow each other within this many microseconds are one change.
const AT_ONCE = 1000;

// What the failure is about.
let focus = null;

const operationById = new Map();
const markById = new Map();
const lanes = [];
const serverLanes = [];
const clientLanes = [];

let network;
// The items of the network's lane that say who reaches whom.
let groupItems;

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
    const words = ["follower or candidate", "leader", "candidate, asks for votes", "follower"];
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
  groupItems = network.items.filter((item) => item.kind === "groups");
  for (const lane of serverLanes) lane.spans = spansOf(lane);
}

// The lane that a number in the data stands for.
const laneOf = (number) => (number < 0 ? serverLanes[-1 - number] : clientLanes[number]);
const codeOf = (lane) => (lane.kind === "server" ? -1 - lane.number : lane.number);

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

// Notes on the operations what the checker found out about them.
function addFindings() {
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
  if (focus && !focus.verdict) focus.verdict = "broken";
}

// The part of the history that is shown: the selected operation's part, or else the part that broke first.
const shownFinding = () => (selected && selected.finding) || data.findings[0];

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
