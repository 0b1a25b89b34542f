// Follows a failure to what it comes from: course/tools/page/tests/page.rs runs it in a browser. The page is that of the sample
// test "elects_two_leaders".
"use strict";
checks(async (check) => {
  const $ = element;
  const chart = $("chart");
  const key = (name) =>
    chart.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const said = () => $("said").textContent,
    around = () => $("around").textContent;
  const answer = () => $("said").querySelector("button.answer");
  const lane = (name) => picture.lanes.find((one) => one.name === name);
  const { messages } = picture;

  await frame();
  check("what the failure comes from is said before anything is done", said().includes("It comes from this"));

  // To the second vote, to where the test noticed it, and back.
  $("failure").click();
  await frame();
  const vote = picture.selected();
  check("the failure comes from the second vote", vote.kind === "message" && vote.lane.name === "server 2" && vote.other.name === "server 1");
  check("that is said", said().includes("The failure comes from this: server 2 votes for server 1"));
  check("the first vote is in view too", messages.sent[vote.rpc - 2] > picture.view.from && picture.view.to > vote.end);
  answer().click();
  const noticed = picture.selected();
  check("one click goes to where the test noticed it", noticed.kind === "failure" && noticed.lane.name === "server 1");
  check("and one back", answer().textContent.includes("It comes from this"));
  answer().click();
  check("to the vote", picture.selected() === vote);
  key("f");
  check("f goes on to where the test noticed it", picture.selected() === noticed);
  key("f");
  check("and f goes back", picture.selected() === vote);

  // The story.
  const story = [...document.querySelectorAll("#story button")].map((one) => one.textContent);
  check("a leader of another term is not told", story.length > 2 && !story.some((line) => /term 1(?!\d)/.test(line)));
  check("both leaders are", ["server 0 leads in term 5", "server 1 leads in term 5"].every((what) => story.some((line) => line.includes(what))));
  check("the cause is marked", document.querySelector("#story .bad").textContent.includes("server 2 votes for server 1"));
  const line = document.querySelector("#story button");
  check("a long line is wrapped", getComputedStyle(line).whiteSpace === "normal");

  // Roles that nobody asked for.
  check("messages tell who leads", lane("server 0").spans.some(([, , state]) => state && state.term === 5 && state.leads));
  check("and who is a candidate", lane("server 0").items.some((item) => item.what === "candidate, asks for votes, term 5"));

  // What leads to a candidacy.
  const request = picture.messageItem(vote.key - 1);
  picture.go(request);
  check("a candidate has its timer for a cause", around().includes("its election timer") && around().includes("on its own"));
  check("which is no message", picture.causeOf(request).item === undefined);
  key("ArrowLeft");
  check("left stays there", picture.selected() === request);
  const put = picture.messageItem(0);
  picture.go(put);
  key("ArrowLeft");
  check("a client sends what the test has called", picture.selected().what === 'put("1")' && picture.selected().lane.name === "client 4");

  // A client's number.
  const log = lane("server 2").items.find((item) => item.kind === "line");
  picture.go(log);
  const row = document.querySelector("table.clients tbody tr");
  check("a number in the log is a client's", row.textContent.includes("816347client 4put"));
  row.click();
  check("one click goes to the client's lane", picture.selected().lane.name === "client 4");
  check("other numbers are nobody's", picture.clientsIn("entry 816348 of server 2, term 5, seq 1").length === 0);
  check("a number in a longer one is none", picture.clientsIn("9816347 8163470 x816347").length === 0);

  // Finding messages.
  const find = async (text) => {
    $("find").value = text;
    $("find").dispatchEvent(new Event("input"));
    for (let n = 0; n < 200 && $("found").textContent.includes("searching"); n++) await frame();
  };
  const enter = (shiftKey) => $("find").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", shiftKey }));
  await find("vote_granted: true");
  check("replies are searched, and counted", $("found").textContent === "2 hits" && $("found").title.startsWith("2 in messages"));
  await find("816347");
  check("items and messages are found together", $("found").textContent === "6 hits" && $("found").title.startsWith("3 in messages"));
  picture.go(lane("server 2").items[0]);
  const seen = [];
  for (let n = 0; n < 6; n++) {
    enter(false);
    seen.push(picture.selected());
  }
  check("Enter goes to each", new Set(seen).size === 6 && seen.filter((one) => one.kind === "message").length === 3);
  check("in the order of time", seen.every((one, i) => i === 0 || one.t >= seen[i - 1].t) && seen[1].kind === "line");
  check("and says which it is", $("found").textContent.startsWith("6 of 6 hits"));
  enter(true);
  check("with Shift it goes back", picture.selected() === seen[4]);
  $("next").click();
  check("so do the buttons", picture.selected() === seen[5]);
  $("before").click();
  check("in both directions", picture.selected() === seen[4]);
  await find("AppendEntries");
  check("methods are searched", $("found").title.includes("2 in messages"));
  await find("seq: 2");
  check("arguments are searched", $("found").title.includes("1 in messages"));
  $("method").value = "Sample.RequestVote";
  $("method").dispatchEvent(new Event("change"));
  await frame();
  check("messages that are not shown are not found", $("found").textContent === "0 hits");
  $("method").value = "";
  $("method").dispatchEvent(new Event("change"));

  // Which message a server sends on its own.
  const numbers = [
    [-1, 0, 0, 0, 5, 10, 15, 16],
    [-1, 0, 1, 100000, 5, 10, 15, 16],
    [-1, 0, 1, 20, 5, 10, 15, 16],
    [-1, 0, 2, 20, 5, 10, 15, 16],
    [-1, 0, 2, 30000, 5, 10, 15, 16],
  ].flat();
  const made = readMessages({ methods: ["Raft.PreVote", "Raft.RequestVote", "Raft.AppendEntries"], first: 0, contents: [], dropped: 0 }, numbers);
  check("a first message has no cause", made.trigger(0).timer === "election timer");
  check("after a time without messages it is a timer", made.trigger(2).timer === "election timer" && made.trigger(2).quiet === 99985);
  check("a second request for votes is the timer's, however soon", made.trigger(4).timer === "election timer");
  check("an append follows from a reply", made.trigger(6).key === 5);
  check("unless it came long ago", made.trigger(8).timer === "timer");
  const rounds = readMessages({ methods: ["Raft.PreVote", "Raft.RequestVote"], first: 0, contents: [], dropped: 0 }, [-1, 0, 0, 0, 5, 10, 15, 16, -1, 0, 1, 20, 5, 10, 15, 16]);
  check("the second round of an election follows from the first", rounds.trigger(2).key === 1);
});
