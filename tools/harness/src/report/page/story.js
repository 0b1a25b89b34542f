// The list of what happened before, which is called the story; and the way to the failure and to what it comes from.
"use strict";

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
  fitStory();
}

// Shows the last events, which matter most, if there is no room for all; no line is cut.
function fitStory() {
  const list = $("story").querySelector("ol");
  list.style.maxHeight = "";
  const hidden = list.scrollHeight - list.clientHeight,
    top = (line) => line.getBoundingClientRect().top - list.getBoundingClientRect().top + list.scrollTop;
  if (hidden <= 0) return;
  const first = [...list.children].map(top).filter((t) => t >= hidden).sort((a, b) => a - b)[0];
  if (first !== undefined) list.style.maxHeight = `${list.scrollHeight - first}px`;
  list.scrollTop = list.scrollHeight;
}

// The times of the story's events, with as many digits as in the terminal; in microseconds where different times would look alike.
function timesOfStory() {
  const short = (t) => (t / 1e6).toFixed(4),
    times = [...new Set(data.story.map(([t]) => t))];
  const isAmbiguous = (t) => times.some((other) => other !== t && short(other) === short(t));
  return data.story.map(([t]) => (isAmbiguous(t) ? (t / 1e6).toFixed(6) : short(t)));
}
