// Runs the checks of a page, and writes the results into its document. page.rs puts this file before those whose names end in
// _test.js.
"use strict";

// The element with this id.
const element = (id) => document.getElementById(id);

// No frames are shown here, so that they have to be asked for.
const frame = () =>
  new Promise((done) => {
    setTimeout(() => {
      picture.draw();
      done();
    }, 20);
  });

// `run` gets a function that notes the result of one check.
async function checks(run) {
  const results = [];
  const check = (what, yes) => results.push(`${yes ? "ok" : "FAILED"}: ${what}`);
  try {
    await run(check);
  } catch (e) {
    check(`no error: ${e.stack}`, false);
  }
  const made = document.createElement("pre");
  made.id = "results";
  made.textContent = `\n${results.join("\n")}\nend of the results`;
  document.body.append(made);
}
