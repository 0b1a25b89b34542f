// Selects items, and moves the view to them: to a given one, and to the next one in a lane or in another lane.
"use strict";

let selected = null,
  // The RPCs of the selected message or operation.
  selectedRpcs = [];

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
