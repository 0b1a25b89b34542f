// Messages as items, which of them are shown, what became of an RPC, and which RPCs belong to an operation.
"use strict";

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

// The method whose messages are shown; "": all of them; "none".
let shownMethod = "";

const isMethodShown = (i) => shownMethod === "" || messages.methods[messages.method[i]] === shownMethod;

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
