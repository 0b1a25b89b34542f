//! The page's HTML and its script, for every program that writes such a page.
//!
//! The script's files stand in [`SCRIPT`] alone; each begins with what it is for. `messages.js` is a function that needs nothing else.
//! The others are joined in one closure, in which each sees what the others declare. They follow two rules:
//!
//! - Only `start.js`, the last, does something. The others declare functions, constants and variables; `lanes.js`, the first, has the
//!   data.
//! - A variable is assigned only in the file that declares it; its functions do that for the other files.

/// The page: `@TITLE@`, `@SCRIPT@`, `@MESSAGES@` and `@DATA@` are to be replaced, in this order, because the data may contain anything.
pub(super) const PAGE: &str = include_str!("page.html");

/// What stands for `@SCRIPT@`.
pub(super) const SCRIPT: &str = concat!(
    include_str!("messages.js"),
    "(() => {\n",
    include_str!("lanes.js"),
    include_str!("rpcs.js"),
    include_str!("view.js"),
    include_str!("drawing.js"),
    include_str!("drawing_lanes.js"),
    include_str!("drawing_messages.js"),
    include_str!("text.js"),
    include_str!("causes.js"),
    include_str!("clients.js"),
    include_str!("selecting.js"),
    include_str!("story.js"),
    include_str!("finding.js"),
    include_str!("keys_and_mouse.js"),
    include_str!("start.js"),
    "})();\n",
);
