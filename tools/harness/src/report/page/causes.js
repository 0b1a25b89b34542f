// Cause and effect: what led to a message, and what the message led to. messages.js finds the messages, this tells of them.
"use strict";

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
