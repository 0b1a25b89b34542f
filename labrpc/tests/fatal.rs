//! A mistake in the program, unlike a fault of the network, ends the process, as in Go.

use labrpc::{Network, Receiver, Server, Service, make_service};
use serde::Serialize;
use std::process::Command;
use std::sync::Arc;

struct JunkServer;

impl JunkServer {
    #[expect(clippy::ptr_arg, reason = "a handler takes the type that was decoded")]
    fn handler1(&self, args: &String, reply: &mut i32) {
        *reply = args.parse().expect("the test sends a number");
    }

    fn panics(&self, _args: &i32, _reply: &mut i32) {
        panic!("index out of luck");
    }
}

impl Receiver for JunkServer {
    fn service(self: Arc<Self>) -> Service {
        Service::new("JunkServer").method("Handler1", &self, Self::handler1).method(
            "Panics",
            &self,
            Self::panics,
        )
    }
}

fn die_calling(svc_meth: &str, args: &impl Serialize) {
    let net = Network::new();
    let mut server = Server::new();
    server.add_service(make_service(Arc::new(JunkServer)));
    net.add_server("s", server);
    let end = net.make_end("e");
    net.connect("e", "s");
    net.enable("e", true);
    let ok = end.call(svc_meth, args, &mut 0);
    println!("the call returned {ok}: the panic became a lost reply");
}

/// Runs the ignored test `name` of this binary in a process of its own, and returns what it prints before it dies.
fn last_words_of(name: &str) -> String {
    let exe = std::env::current_exe().expect("this test binary");
    let output = Command::new(exe).args(["--exact", name, "--ignored"]).output().expect("it starts");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    words
}

#[test]
#[ignore = "ends the process; a_handlers_panic_ends_the_process runs it"]
fn die_in_a_handler() {
    die_calling("JunkServer.Panics", &1);
}

#[test]
#[ignore = "ends the process; an_unknown_method_is_fatal_and_names_the_choices runs it"]
fn die_of_an_unknown_method() {
    die_calling("JunkServer.Handler9", &1);
}

#[test]
#[ignore = "ends the process; an_unknown_method_is_fatal_and_names_the_choices runs it"]
fn die_of_an_unknown_service() {
    die_calling("Raft.RequestVote", &1);
}

#[test]
#[ignore = "ends the process; arguments_of_the_wrong_type_are_fatal runs it"]
fn die_of_wrong_arguments() {
    die_calling("JunkServer.Handler1", &300_u16);
}

#[test]
fn a_handlers_panic_ends_the_process() {
    let words = last_words_of("die_in_a_handler");
    assert!(words.contains("server s: JunkServer.Panics handler panicked: index out of luck"), "{words}");
}

#[test]
fn an_unknown_method_is_fatal_and_names_the_choices() {
    let choices = "there are JunkServer.Handler1, JunkServer.Panics";
    for (test, what) in [
        ("die_of_an_unknown_method", "unknown method Handler9"),
        ("die_of_an_unknown_service", "unknown service Raft"),
    ] {
        let words = last_words_of(test);
        assert!(words.contains(what) && words.contains(choices), "{words}");
    }
}

#[test]
fn arguments_of_the_wrong_type_are_fatal() {
    let words = last_words_of("die_of_wrong_arguments");
    assert!(
        words.contains("JunkServer.Handler1: the caller's arguments are not what the handler takes"),
        "{words}"
    );
}
