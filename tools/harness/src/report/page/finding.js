// Finds a text. Items are searched at once, messages in turns of a few milliseconds: there can be very many.
"use strict";

// What is looked for, and the items that are found.
let word = "",
  found = [];
const isFound = (item) => word !== "" && (item.what.includes(word) || (item.result || "").includes(word));

// How long a turn takes, in milliseconds.
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
