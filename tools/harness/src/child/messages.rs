//! Records every RPC: hears of it from labrpc, and writes it into the record.

use crate::record::{self, Fate};
use labrpc::{Contents, Failure, Observer, Request, Step, TaskName};

struct Recorder;

/// From now on, records every RPC.
pub(super) fn start() {
    labrpc::set_observer(&Recorder);
}

impl Observer for Recorder {
    fn offers(&self, svc_meth: &str, Contents { args, reply }: Contents) {
        record::messages(|messages, _| messages.offer(svc_meth, args, reply));
    }

    fn sends(&self, Request { end, server, svc_meth, args }: Request<'_>) -> u64 {
        let server = server.and_then(|name| name.parse().ok());
        record::messages(|messages, at| messages.send(at, end, server, svc_meth, args, client))
    }

    fn happens(&self, rpc: u64, step: Step<'_>) {
        record::messages(|messages, at| match step {
            Step::Fails(failure) => messages.fail(rpc, fate(failure)),
            Step::Arrives => messages.arrive(at, rpc),
            Step::Answers(reply) => messages.answer(at, rpc, reply),
            Step::IsHeldBack => messages.hold_back(rpc),
            Step::Ends(has_reply) => messages.finish(at, rpc, has_reply),
        });
    }
}

/// The client whose thread this is.
fn client() -> Option<String> {
    labrpc::current_task().filter(|task| matches!(task, TaskName::Other(_))).map(String::from)
}

fn fate(failure: Failure) -> Fate {
    match failure {
        Failure::Disconnected => Fate::Disconnected,
        Failure::NoServer => Fate::Down,
        Failure::RequestLost => Fate::RequestLost,
        Failure::ReplyLost => Fate::ReplyLost,
        Failure::CutOff => Fate::CutOff,
    }
}
