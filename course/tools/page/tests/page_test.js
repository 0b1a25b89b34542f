// Uses a page as a person does, and writes the results into the document: course/tools/page/tests/page.rs runs it in a
// browser. The page is that of the sample test "breaks_a_history".
"use strict";
checks(async (check) => {
  const $ = element;
  const chart = $("chart"),
    canvas = chart.querySelector("canvas");
  const key = (name) =>
    document.activeElement.dispatchEvent(
      new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }),
    );
  const said = () => $("said").textContent;
  // How many different colours there are in a part of the canvas.
  const colours = (x, y, w, h) => {
    const ratio = window.devicePixelRatio;
    const pixels = canvas.getContext("2d").getImageData(x * ratio, y * ratio, w * ratio, h * ratio).data;
    const seen = new Set();
    for (let i = 0; i < pixels.length; i += 4) seen.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
    return seen.size;
  };
  const wide = () => picture.view.to - picture.view.from;

  await frame();
  check(
    "the test and its end are said",
    document.body.innerText.includes("Test: sample") && /FAILED after \d/.test($("verdict").textContent),
  );
  check("the message is there", $("message").textContent.includes("not linearizable"));
  check("something is drawn", colours(0, 0, chart.clientWidth, chart.clientHeight) > 5);
  check("the failure is told before anything is done", said().includes('client 2: get("k")'));
  check("a closing script tag in a value stays text", document.querySelectorAll("script").length === 5);

  check("the header is small", document.querySelector("header").offsetHeight <= 90);
  check("what led to the failure is listed", document.querySelectorAll("#story li").length > 1);

  // By keyboard.
  $("failure").focus();
  check(
    "the button is reached with the keyboard",
    document.activeElement === $("failure") && $("failure").textContent === "Go to the failure",
  );
  $("failure").click();
  await frame();
  check(
    "the failing operation is selected",
    picture.selected().what === 'get("k")' && picture.selected().verdict === "broken",
  );
  check("it is told in words", said().includes("This breaks the history") && said().includes("held by nobody"));
  check(
    "to a screen reader too",
    $("said").getAttribute("aria-live") === "polite" &&
      chart.getAttribute("role") === "application" &&
      chart.getAttribute("aria-label").length > 20,
  );
  check("the chart has the focus", document.activeElement === chart);
  const failing = picture.selected();
  check("it is in view", failing.t >= picture.view.from && failing.end <= picture.view.to);
  check("the end of the order is listed", $("around").textContent.includes('append("k", "b")'));
  key("ArrowUp");
  check("up is another lane", picture.selected().lane !== failing.lane);
  key("ArrowDown");
  check("down comes back to the lane", picture.selected().lane === failing.lane);
  key("Home");
  const first = picture.selected();
  check("Home is the first of the lane", first === first.lane.items[0]);
  key("ArrowRight");
  check(
    "right is the next",
    picture.selected() === first.lane.items[1] && said().includes(picture.selected().what),
  );
  key("ArrowLeft");
  check("left is the one before", picture.selected() === first);
  key("f");
  check("f is the failure", picture.selected() === failing);
  const before = wide();
  key("+");
  check("+ zooms in", wide() < before);
  key("0");
  check("0 is the whole test", picture.view.from <= 0 && wide() > failing.end);

  // By mouse.
  const box = canvas.getBoundingClientRect();
  const at = (x, y, more) => ({
    clientX: box.left + x,
    clientY: box.top + y,
    bubbles: true,
    cancelable: true,
    pointerId: 1,
    ...more,
  });
  const before_wheel = wide();
  canvas.dispatchEvent(new WheelEvent("wheel", at(300, 100, { deltaY: -500 })));
  check("the wheel zooms", wide() < before_wheel);
  const from = picture.view.from;
  canvas.dispatchEvent(new WheelEvent("wheel", at(300, 100, { deltaY: 100, shiftKey: true })));
  check("with shift it moves", picture.view.from > from);
  key("f");
  await frame();
  const lane = picture.selected().lane;
  const middle = 126 + (((failing.t + failing.end) / 2 - picture.view.from) / wide()) * (canvas.clientWidth - 126);
  key("Home");
  key("f");
  await frame();
  check("what is under the pointer is found", picture.itemAt(middle, lane.y + 5) === failing);
  canvas.dispatchEvent(new PointerEvent("pointermove", at(middle, lane.y + 5)));
  check("and told beside it", !$("tip").hidden && $("tip").textContent.includes('get("k")'));

  // What servers said and what happened to them.
  const server = (n) => picture.lanes.find((one) => one.name === `server ${n}`);
  const kinds = (n) => new Set(server(n).items.map((item) => item.kind));
  check(
    "starts, applies, crashes and the log are on the lanes",
    ["start", "apply", "up", "down", "line"].every((kind) => kinds(1).has(kind)),
  );
  check(
    "roles and terms are known",
    server(1).spans.some(([, , state]) => state && state.term === 7 && state.leads),
  );
  check(
    "a crashed server is down",
    server(1).spans.some(([, , state]) => state === null),
  );
  const network = picture.lanes[0].items.map((item) => item.what);
  check(
    "partitions and the network's mode are there",
    network.includes("0 2 | alone: 1") && network.includes("unreliable, long reordering"),
  );

  // Finding.
  $("find").value = "x <\/script> y";
  $("find").dispatchEvent(new Event("input"));
  check("the find field counts", $("found").textContent.startsWith("1 hit"));
  $("find").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
  check("and goes there", picture.selected().what.includes("<\/script>"));

  // However far in or out, a frame is drawn.
  for (let i = 0; i < 60; i++) {
    picture.zoom(i < 30 ? 0.5 : 2);
    picture.draw();
  }
  check("zooming ends where it may", wide() > 0 && Number.isFinite(picture.view.from));
});
