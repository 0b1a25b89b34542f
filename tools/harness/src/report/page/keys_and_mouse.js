// What the keys, the mouse and the controls do, and which item is under the mouse.
"use strict";

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
  return (frame.arrows.length < 150 && (arrow || handlerAt(px, py))) || itemOn(lane, px, py) || arrow;
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
        hint = frame.hints.find(([top, bottom]) => px < 330 && y >= top && y < bottom);
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
    chooseTopic(event.target.value);
    find(word);
  });
  new ResizeObserver(resize).observe(chart);
  window.addEventListener("resize", fitStory);
  for (const id of ["message", "more"]) $(id).addEventListener("click", () => $("message").classList.toggle("open"));
  // On paper, all lanes are there, in dark ink.
  addEventListener("beforeprint", () => onPaper(true));
  addEventListener("afterprint", () => onPaper(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColours();
    redraw();
  });
}
