//! Draws a history and its explanation as the page that the lab's tests leave when they fail.

#[path = "../../../tools/harness/src/report/page/script.rs"]
mod script;

use linearizability::{CheckResult, Explanation, Model, Operation};
use script::{PAGE, SCRIPT};
use serde_json::{Value, json};

/// The page of a history of any model. `clients` names the client of each operation. Times are taken as nanoseconds.
pub fn html<M: Model>(
    title: &str,
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    clients: &[String],
    explanation: &Explanation,
) -> String {
    let data = data(title, model, history, clients, explanation).to_string().replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let page = PAGE.replace("@TITLE@", &title).replace("@SCRIPT@", SCRIPT);
    page.replace("@MESSAGES@", "[]").replace("@DATA@", &data)
}

/// The data of the page; tools/harness/src/report/page.rs says what its fields are.
fn data<M: Model>(
    title: &str,
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    clients: &[String],
    explanation: &Explanation,
) -> Value {
    let first = history.iter().map(|operation| operation.call).min().unwrap_or(0);
    let micros = |time: i64| time.saturating_sub(first) / 1000;
    let times = history.iter().flat_map(|operation| [operation.call, operation.ret]);
    let end = micros(times.filter(|time| *time != i64::MAX).max().unwrap_or(0)) + 1;
    let mut lanes: Vec<&str> = Vec::new();
    let mut operations = Vec::new();
    for (id, Operation { input, call, output, ret }) in history.iter().enumerate() {
        let lane = lanes.iter().position(|lane| *lane == clients[id]).unwrap_or_else(|| {
            lanes.push(&clients[id]);
            lanes.len() - 1
        });
        let ret = if *ret == i64::MAX { -1 } else { micros(*ret) };
        operations.push(json!([id, lane, micros(*call), ret, model.describe(input, output)]));
    }
    let mut broken: Vec<_> =
        explanation.parts.iter().filter(|part| part.result == CheckResult::Illegal).collect();
    broken.sort_by_key(|part| part.prefixes[0].refused.first().map(|i| history[*i].ret));
    let findings: Vec<Value> = (broken.iter())
        .map(|part| {
            let prefix = &part.prefixes[0];
            let (done, all) = (prefix.order.len(), part.operations.len());
            let note = format!("An order explains {done} of the {all} operations of this part.");
            json!({ "order": prefix.order, "refused": prefix.refused, "part": part.operations, "note": note })
        })
        .collect();
    let refused = broken.first().and_then(|part| part.prefixes[0].refused.first());
    let message = match explanation.result {
        CheckResult::Ok => "linearizable".to_string(),
        CheckResult::Illegal => match refused {
            Some(i) => {
                let Operation { input, output, .. } = &history[*i];
                let what = model.describe(input, output);
                format!("not linearizable: no order of the operations explains {}: {what}", clients[*i])
            }
            None => "not linearizable".to_string(),
        },
        CheckResult::Unknown => "not decided: the time ran out".to_string(),
    };
    json!({
        "name": title, "description": title, "message": message,
        "failed": explanation.result == CheckResult::Illegal,
        "simulation": null, "end": end, "focus": refused.map(|i| json!(["operation", i])),
        "story": [], "storyLeftOut": 0, "sought": "", "clients": lanes, "operations": operations,
        "lines": [], "linesLeftOut": 0, "droppedOperations": 0, "droppedLines": 0, "silent": null,
        "messages": { "methods": [], "first": 0, "contents": [], "dropped": 0 },
        "servers": 0, "states": [], "lives": [], "groups": [], "networks": [], "marks": [], "droppedMarks": 0,
        "findings": findings,
    })
}
