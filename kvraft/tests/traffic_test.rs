//! Tests of `Traffic`: it remarks on too few messages, and on nothing that consensus allows.

mod traffic;

use labrpc::Departure;
use traffic::Traffic;

/// A message from one server to another, or from a client to a server.
fn send(traffic: &Traffic, end: &str) {
    traffic.note(Departure::Request { end });
}

fn write_alone(traffic: &Traffic) {
    let under_way = traffic.begin();
    traffic.end(under_way, true);
}

#[test]
fn a_server_without_a_message_is_named() {
    let traffic = Traffic::new(3);
    assert_eq!(
        traffic.remarks(),
        [
            "servers 0, 1, 2 have exchanged no message with another server: look at how the servers communicate"
        ]
    );
    send(&traffic, "0 to 1, 3");
    // A message to oneself and one of a client are none from another server.
    ["2 to 2, 5", "client 1 to 2", "2 to nobody"].iter().for_each(|end| send(&traffic, end));
    traffic.note(Departure::Reply { server: "2" });
    assert_eq!(
        traffic.remarks(),
        ["server 2 has exchanged no message with another server: look at how the servers communicate"]
    );
    // Server 0 leads all the time: nobody sends it a request.
    send(&traffic, "0 to 2, 3");
    assert!(traffic.remarks().is_empty());
}

#[test]
fn each_lone_write_costs_half_of_the_others_a_message() {
    let traffic = Traffic::new(5);
    (0..5).for_each(|to| send(&traffic, &format!("{} to {to}, 7", (to + 1) % 5)));
    (0..2).for_each(|_| write_alone(&traffic));
    assert!(traffic.remarks().is_empty());
    write_alone(&traffic);
    assert_eq!(
        traffic.remarks(),
        [
            "5 messages between servers, and 3 writes of a lone client need at least 6: look at how the servers communicate"
        ]
    );
    send(&traffic, "0 to 1, 7");
    assert!(traffic.remarks().is_empty());
}

#[test]
fn writes_that_overlap_another_operation_may_share_messages() {
    let traffic = Traffic::new(3);
    for to in 0..3 {
        send(&traffic, &format!("{} to {to}, 7", (to + 1) % 3));
    }
    for _ in 0..100 {
        let (first, second) = (traffic.begin(), traffic.begin());
        traffic.end(first, true);
        traffic.end(second, true);
        // Reads may need no message at all.
        let read = traffic.begin();
        traffic.end(read, false);
    }
    assert!(traffic.remarks().is_empty());
}
