// Follows the messages of a page as a person does, and writes the results into the document: course/tools/page/tests/page.rs
// runs it in a browser. The page is that of the sample test "exchanges_messages".
"use strict";
checks(async (check) => {
  const $ = element;
  const chart = $("chart"),
    canvas = chart.querySelector("canvas");
  const key = (name) =>
    chart.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const said = () => $("said").textContent,
    around = () => $("around").textContent;
  const { messages } = picture;

  await frame();
  check("every RPC is there", messages.count === 2 * 701 + 3);
  check("from far away, no arrow is drawn", picture.arrows().length === 0);
  check(
    "but how many there are",
    picture.lanes.some((lane) => lane.kind === "messages"),
  );

  // Who answered a get is one click away.
  $("failure").click();
  await frame();
  check("the failure is the get", picture.selected().what === 'get("k")');
  // How many messages are in view here depends on how fast they were.
  for (let n = 0; n < 12 && picture.arrows().length === 0; n++) {
    key("+");
    await frame();
  }
  check("nearer to it, messages are arrows", picture.arrows().length > 0);
  check("its RPCs are listed", around().includes("Its RPCs") && around().includes("was disconnected from server 0"));
  const answer = document.querySelector("button.answer");
  check(
    "who answered it is said, with the reply's own fields",
    answer.textContent === 'Answered by server 0: GetReply { value: Some("<\/script> of k") }',
  );
  answer.click();
  await frame();
  const reply = picture.selected();
  check("one click selects the reply", reply.kind === "message" && reply.lane.name === "server 0");
  check("it is told in words", said().includes("reply to Sample.Get") && said().includes("reached its handler"));
  check("its arguments are shown", around().includes('GetArgs { key: "k", attempt: 2 }'));

  // Cause and effect: the reply of server 0 answers the client's request; before that, server 0 asked server 1.
  check("what came meanwhile is listed", around().includes("until then its sender received last") && around().includes("server 1 → server 0: reply to Sample.Get"));
  key("ArrowLeft");
  check("left is the client's request", said().includes("client 7 → server 0: Sample.Get"));
  key("ArrowRight");
  check("right goes back to where one came from", picture.selected() === reply);
  picture.go(picture.messageItem(reply.key - 1));
  key("ArrowRight");
  check("right is what its receiver sent next", said().includes("server 0 → server 1: Sample.Get"));
  key("ArrowRight");
  check("then the answer to that", picture.selected().lane.name === "server 1");
  key("ArrowRight");
  check("and so on to the reply", picture.selected() === reply);
  picture.go(reply);
  const row = [...document.querySelectorAll("#around tbody tr")].find((one) => one.textContent.includes("←"));
  row.click();
  check("a click follows too", picture.selected() !== reply && picture.selected().kind === "message");

  // What became of each.
  const last = messages.count - 1;
  picture.go(picture.messageItem(2 * last));
  check("a handler that does not return is told", said().includes("had not returned when the test ended"));
  check("its reply is not claimed", !around().includes("GetReply"));
  const cut = [...Array(messages.count).keys()].find((i) => messages.fate(i) === 1);
  picture.go(picture.messageItem(2 * cut));
  check("one that is cut off is told", said().includes("client 7 was disconnected from server 0 when it left"));

  // By mouse: an arrow is hit where it is drawn.
  $("failure").click();
  picture.go(reply);
  picture.look(reply.t - 50, reply.end + 50);
  await frame();
  const drawn = picture.arrows().find(([one]) => one === reply.key);
  const [, x1, y1, x2, y2] = drawn;
  check("its arrow goes from lane to lane", Math.abs(y1 - y2) > 10);
  check("an arrow is found under the pointer", picture.itemAt((x1 + x2) / 2, (y1 + y2) / 2) === reply);
  $("method").value = "none";
  $("method").dispatchEvent(new Event("change"));
  picture.draw();
  check("messages can be hidden, except the selected one", picture.arrows().length > 0 && picture.arrows().every(([one]) => one >> 1 === reply.rpc));

  // What became of messages is searched too.
  $("method").value = "";
  $("method").dispatchEvent(new Event("change"));
  $("find").value = "was disconnected from server 0";
  $("find").dispatchEvent(new Event("input"));
  for (let n = 0; n < 200 && $("found").textContent.includes("searching"); n++) await frame();
  check("a message is found by what became of it", $("found").textContent === "1 hit" && $("found").title.startsWith("1 in messages"));
  $("find").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
  check("and selected", picture.selected().kind === "message" && picture.selected().rpc === cut);
  $("find").value = "";
  $("find").dispatchEvent(new Event("input"));
  check("without a word, nothing is found", $("found").textContent === "" && $("next").disabled);

  // The story's events can be clicked.
  const events = [...document.querySelectorAll("#story button")];
  check(
    "the story says who answered",
    events.some((one) => one.textContent.includes("server 0 answers it")),
  );
  events.find((one) => one.textContent.includes("client 7 calls")).click();
  check("an event is selected by a click", picture.selected().what === 'get("k")');
});
