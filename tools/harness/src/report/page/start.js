// Fills in what stands around the chart, and starts the page: the other files only declare what they have.
"use strict";

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

makeLanes();
addFindings();
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
window.picture = { lanes, view, draw, zoom, look, go, itemAt, messages, messageItem, clientsIn, causeOf, arrows: () => frame.arrows, selected: () => selected };
