// The text beside the chart: what is known about an item, and tables of what happened around it. A click in a table selects.
"use strict";

// For a selected instant, the text lists items within this many microseconds of it, and at most this many items.
const NEAR = 20000,
  MOST_NEAR = 60;
// A table lists at most this many RPCs, messages or clients.
const MOST_LISTED = 30;

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
    ...inTheStory(item),
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

// What the lines of the story say that lead to this item, but for the line that the failure comes from.
function inTheStory(item) {
  const lines = data.story.map(([, what], number) => [number, what]);
  const own = lines.filter(([number]) => number !== data.cause && itemOf(number) === item);
  return own.map(([number, what]) => element("p", `Line ${number + 1} above: ${what}.`));
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
