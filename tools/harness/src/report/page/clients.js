// Clients by their numbers: which client a text means that has the number by which a client calls itself.
"use strict";

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
