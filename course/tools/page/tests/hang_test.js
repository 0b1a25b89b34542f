// Looks at the page of a test that hangs: course/tools/page/tests/page.rs runs it in a browser. The page is that of the sample
// test "holds_a_lock_across_an_rpc".
"use strict";
checks(async (check) => {
  const $ = element;

  const message = $("message");
  const lines = message.textContent.split("\n");
  check("the diagnosis is the second line", lines[1].includes("This looks like a lock held across an RPC"));
  check("the header shows it, and stays small", message.clientHeight >= 50 && document.querySelector("header").offsetHeight <= 90);
  check("how long the message is, is said", $("more").textContent === `all ${lines.length} lines` && !$("more").hidden);
  const before = message.clientHeight;
  $("more").click();
  check("a click shows more of it", message.clientHeight > before);
  $("more").click();
  check("the whole message is beside the chart", $("around").textContent.includes("has not answered get_state()"));

  // What is not known is drawn as such.
  const spans = (n) => picture.lanes.find((lane) => lane.name === `server ${n}`).spans;
  const last = (n) => spans(n)[spans(n).length - 1];
  const silent = picture.lanes.flatMap((lane) => lane.items).filter((item) => item.kind === "silent");
  check("since when a server does not answer, is on its lane", silent.length === 2 && silent.filter((item) => item.isMute).length === 1);
  check("its band is unknown from then on", [0, 1].every((n) => last(n)[0] === silent[0].t && last(n)[2] && last(n)[2].unknown));

  $("failure").click();
  const cause = picture.selected();
  check("the failure comes from the RPC", cause.kind === "message" && cause.method === "Sample.Touch");
  check("that is said", $("said").textContent.includes("it seems with the lock self.0 held"));
  $("said").querySelector("button.answer").click();
  check("the test noticed it at its end", picture.selected().kind === "failure");
});
