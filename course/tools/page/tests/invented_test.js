// Checks what a page says and selects: course/tools/page/tests/page.rs runs it in a browser. The data is invented: the RPCs, in the
// order of invented_messages.json, have the numbers below.
"use strict";
checks(async (check) => {
  const PUT = 0, CUT_OFF = 1, DISCONNECTED = 2, CRASHED = 3, VOTE = 4, LOST = 5, SECOND_VOTE = 6, GET = 8, NESTED = 9, HEARTBEAT = 10,
    CANDIDATE = 11, REPLY_UNDERWAY = 12, UNDERWAY = 13;
  const $ = element;
  const chart = $("chart"),
    canvas = chart.querySelector("canvas"),
    { view, messages } = picture;
  const key = (name) => chart.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const said = () => $("said").textContent,
    around = () => $("around").textContent,
    wide = () => view.to - view.from;
  const lane = (name) => picture.lanes.find((one) => one.name === name);
  const request = (i) => picture.messageItem(2 * i),
    reply = (i) => picture.messageItem(2 * i + 1);
  const x = (t) => 126 + ((t - view.from) / wide()) * (canvas.clientWidth - 126);
  const click = (px, py) => {
    const box = canvas.getBoundingClientRect(),
      at = { clientX: box.left + px, clientY: box.top + py, bubbles: true, pointerId: 1 };
    canvas.setPointerCapture = () => {};
    canvas.dispatchEvent(new PointerEvent("pointerdown", at));
    canvas.dispatchEvent(new PointerEvent("pointerup", at));
  };
  await frame();

  // The header.
  check("the rule that was broken stands first", $("message").textContent.startsWith("This breaks Leader Completeness"));
  check("places in the code stand last", $("message").textContent.split("\n")[1] === "get wrong value, key k");
  check("the panel has the message once", document.querySelector("#detail").textContent.split("get wrong value").length === 2);
  check("a client that did nothing has no lane", lane("client 0") && !lane("idle client"));

  // The list of what happened before.
  const lines = [...document.querySelectorAll("#story button")];
  check("earlier events are said to be left out", document.querySelector("#story").innerText.includes("3 earlier events left out"));
  check("times have four digits", lines[0].textContent.startsWith("0.1000 s"));
  check("or six, if two would look alike", lines[8].textContent.startsWith("0.705000 s") && lines[9].textContent.startsWith("0.705030 s"));
  const selects = [
    ["network", (item) => item.t === 100000 && item.letters],
    ["network", (item) => item.t === 200000 && !item.letters],
    ["server 1", (item) => item.kind === "down" && item.t === 300000],
    ["server 1", (item) => item.kind === "up" && item.t === 350000],
    ["server 0", (item) => item === reply(VOTE)],
    ["server 2", (item) => item.kind === "state" && item.leads && item.term === 2],
    ["network", (item) => item.kind === "mode" && item.t === 690000],
    ["client 0", (item) => item.what === 'get("k")'],
    ["server 0", (item) => item === reply(GET)],
    ["server 0", (item) => item.kind === "state" && item.leads && item.term === 1],
  ];
  selects.forEach(([where, isIt], i) => {
    $("all").click();
    lines[i].click();
    const item = picture.selected();
    check(`the line "${lines[i].textContent}" selects what it tells of`, item.lane.name === where && isIt(item));
    check("the line is marked", document.querySelector("#story [aria-current]") === lines[i]);
    check("the text beside the chart says it too", $("said").textContent.includes(lines[i].textContent.split("s  ")[1]));
    check("what it tells of is in view", item.t >= view.from && item.t <= view.to && wide() < 900000);
  });
  $("all").click();
  lines[8].click();
  check("of a reply, the whole exchange", view.from <= 700000 && view.to >= 710000 && wide() < 30000);
  check("a line can be clicked right of its text", lines[0].offsetWidth > 300);
  const list = document.querySelector("#story ol"),
    top = list.getBoundingClientRect().top;
  const isCut = (line) => line.getBoundingClientRect().top < top - 1 && line.getBoundingClientRect().bottom > top + 1;
  list.style.fontSize = "30px";
  window.dispatchEvent(new Event("resize"));
  check("not all lines have room", list.scrollHeight > list.clientHeight);
  check("no line is cut", !lines.some(isCut));
  list.style.fontSize = "";
  window.dispatchEvent(new Event("resize"));
  picture.look(695000, 712000);
  lines[7].click();
  check("what can be seen well already does not move the view", view.from === 695000 && view.to === 712000);

  // Cause and effect.
  picture.go(reply(GET));
  check("a reply's cause is its request", picture.causeOf(reply(GET)).item === request(GET) && picture.causeOf(reply(GET)).at === 701000);
  check("it is said when the request arrived", around().includes("0.701000 s← the request that it answers arrived"));
  check("what came meanwhile is said too", around().includes("0.703300 suntil then its sender received lastserver 2 → server 0: reply"));
  picture.go(request(GET));
  key("ArrowRight");
  check("right is what the receiver sent before it answered", picture.selected() === request(NESTED) && around().includes("0.701000 s← its sender had received"));
  key("ArrowLeft");
  check("left goes back", picture.selected() === request(GET));
  picture.go(reply(NESTED));
  key("ArrowRight");
  const after = picture.selected();
  key("ArrowLeft");
  check("left goes back to where one came from", after === reply(GET) && picture.selected() === reply(NESTED));
  key("ArrowLeft");
  check("and then on, to the cause", picture.selected() === request(NESTED));
  picture.go(request(HEARTBEAT));
  check("without a reply there is no effect", messages.effect(2 * HEARTBEAT) === undefined && !around().includes("→ its receiver"));
  check("a regular message says when the one before it left", around().includes("its last request to server 1 had left 100.00 ms before"));
  check("a candidate's first request is the timer's", messages.trigger(2 * VOTE).timer === "election timer" && messages.trigger(2 * LOST).timer === "election timer");
  picture.go(request(SECOND_VOTE));
  check("a later one belongs to the same election", around().includes("← the same election as at 0.500000 s"));
  key("ArrowLeft");
  check("left is its first request", picture.selected() === request(VOTE));
  check("after a restart it is another election", messages.trigger(2 * SECOND_VOTE, 550000).timer === "election timer");

  // What the panel says of a message.
  picture.go(reply(VOTE));
  check("when the request arrived", said().includes("reached its handler at 0.500500 s, 500 µs later"));
  check("when it was answered", said().includes("returned at 0.500900 s, 400 µs later"));
  check("when the reply arrived", said().includes("The reply arrived at 0.501300 s, 400 µs later"));
  picture.go(request(CRASHED));
  check("a crash of the receiver is named", said().includes("server 1 crashed at 0.300000 s") && !said().includes("disconnected"));
  picture.go(request(CUT_OFF));
  check("or else the disconnection", said().includes("server 0 and server 2 were disconnected from each other") && !said().includes("crash"));

  // What happened at about the same time.
  const crash = lane("server 1").items.find((item) => item.kind === "down");
  picture.go(crash);
  check("a server's messages are listed at its instants", around().includes("Within 20.00 ms") && around().includes("Raft.RequestVote → server 1"));
  picture.go(lane("network").items.find((item) => item.kind === "mode"));
  check("what lasts is listed as such", around().includes("During this, and 20.00 ms around it"));

  // By mouse.
  picture.look(690000, 720000);
  await frame();
  const before = [view.from, view.to];
  const there = (item, py) => {
    click(x(item.t + 1), py);
    return picture.selected();
  };
  const drawn = picture.arrows().find(([one]) => one === 2 * GET);
  click((drawn[1] + drawn[3]) / 2, (drawn[2] + drawn[4]) / 2);
  check("an arrow is selected by a click", picture.selected() === request(GET));
  click(x(703000), lane("client 0").y + 5);
  click(x(704200), lane("server 0").y + 17);
  check("a handler's bar selects its request", picture.selected() === request(GET));
  click(x(692000), lane("server 0").y + 8);
  check("a server's band selects its role and term", picture.selected().kind === "state" && picture.selected().what === "leader, term 1");
  check("and says until when", said().includes("this holds until the end of the test"));
  check("clicks do not move the view", view.from === before[0] && view.to === before[1]);
  picture.look(120000, 160000);
  await frame();
  check("the strip of the groups selects the group", there({ t: 130000 }, lane("server 2").y + 23).letters[2] === "alone");
  picture.look(320000, 330000);
  await frame();
  check("so does the band of a server that is down", there({ t: 325000 }, lane("server 1").y + 8) === crash);
  // The other end of this arrow is not in view.
  picture.look(704000, 708000);
  await frame();
  const long = picture.arrows().find(([one]) => one === 2 * GET + 1);
  click((x(705000) + x(708000)) / 2, (long[2] + (long[4] - long[2]) * 0.3));
  check("an arrow that goes out of view stays where it is", picture.selected() === reply(GET) && view.from === 704000);

  // By keyboard.
  picture.look(690000, 730000);
  picture.go(request(NESTED));
  key("+");
  check("+ zooms about the selection", Math.abs((view.from + view.to) / 2 - 702250) < 6000 && view.from < 702000 && wide() < 21000);
  key("ArrowDown");
  check("down is an item in view", picture.selected() === lane("server 1").spans.at(-1)[3] && view.from < 702000 && view.to > 702000);

  picture.go(lane("client 0").items[0]);
  key("ArrowDown");
  check("a lane without an item in view is passed over", picture.selected().lane.name === "server 0");

  // Messages that did not arrive.
  $("all").click();
  picture.go(reply(REPLY_UNDERWAY));
  picture.look(998000, 1002000);
  await frame();
  const end = x(1000000);
  const underway = [2 * REPLY_UNDERWAY + 1, 2 * UNDERWAY].map((one) => picture.arrows().find(([drawn]) => drawn === one));
  check("what was on its way is drawn up to the end", underway.every((arrow) => Math.abs(arrow[3] - end) < 1));
  picture.look(499000, 502000);
  await frame();
  const lost = picture.arrows().find(([one]) => one === 2 * LOST);
  check("what was lost ends on its way", lost[3] - lost[1] < 20);
  picture.go(request(LOST));
  await frame();
  check("no arrow is drawn twice", new Set(picture.arrows().map(([one]) => one)).size === picture.arrows().length);

  // The choice of messages. A bar for the heartbeat in the lane of all messages has a colour of its own.
  const hasBar = () => {
    const ratio = window.devicePixelRatio;
    const pixels = canvas.getContext("2d").getImageData((x(640000) - 3) * ratio, (lane("messages").y + 18) * ratio, 6 * ratio, 2 * ratio).data;
    return pixels.some((value, i) => value !== pixels[i % 4]);
  };
  const choose = (value) => {
    $("method").value = value;
    $("method").dispatchEvent(new Event("change"));
    picture.draw();
  };
  check("methods have short names", [...$("method").options].some((one) => one.text === "AppendEntries"));
  $("all").click();
  picture.look(600000, 699000);
  await frame();
  const hadBar = hasBar();
  choose("Service.Get");
  check("the lane of all messages shows them alone", hadBar && !hasBar());
  $("all").click();
  picture.draw();
  check("only messages of that method are arrows", picture.arrows().some(([one]) => one >> 1 === GET) && picture.arrows().every(([one]) => one >> 1 === GET || one >> 1 === LOST));
  choose("");

  // Find.
  const find = async (text) => {
    $("find").value = text;
    $("find").dispatchEvent(new Event("input"));
    for (let n = 0; n < 200 && $("found").textContent.includes("searching"); n++) await frame();
  };
  const heights = $("tools").offsetHeight;
  await find("restart");
  check("the list of what happened before is searched", $("found").textContent === "1 hit");
  $("all").click();
  $("next").click();
  check("the hit is what its line tells of", picture.selected().kind === "up" && picture.selected().t === 350000);
  check("and is zoomed to", wide() < 200000);
  await find("votes for server 2");
  check("so is a message in it", $("found").textContent === "1 hit");
  await find("crashed at");
  check("what became of a message is found if it is so", $("found").textContent === "1 hit");
  check("the toolbar keeps its height", $("tools").offsetHeight === heights && heights < 40);
  await find("");

  // How to read this.
  const legend = $("legend").textContent;
  check("the legend has the signs of this page", legend.includes("An arrow is a message") && legend.includes("hatched: down"));
  check("and no others", !legend.includes("●") && !legend.includes("longest order") && !legend.includes("question mark"));
  $("help").open = true;
  check("the chart stays in view", $("chart").offsetHeight > 200 && document.querySelector("#help div").offsetHeight <= 150);
  $("help").open = false;

  // The failure.
  $("failure").click();
  await frame();
  check("the failing operation has a third of the width", x(710000) - x(700000) > (canvas.clientWidth - 126) / 3);
  check("and is all in view", view.from < 700000 && view.to > 710000);
  check("so is the step before it", view.from < 690000);
});
