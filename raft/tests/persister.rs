//! Tests of the persister.

use raft::Persister;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_new_one_is_empty() {
    let saved = Persister::new();
    assert!(saved.read_raft_state().is_empty() && saved.read_snapshot().is_empty());
    assert_eq!((saved.raft_state_size(), saved.snapshot_size()), (0, 0));
}

#[test]
fn the_size_is_that_of_what_is_read() {
    let saved = Persister::new();
    saved.save_raft_state(vec![1, 2]);
    saved.append_raft_state(&[3]);
    assert_eq!(saved.read_raft_state(), [1, 2, 3]);
    saved.save_state_and_snapshot(vec![4], vec![5; 10]);
    assert_eq!(saved.read_raft_state(), [4]);
    assert_eq!(*saved.read_snapshot(), [5; 10]);
    assert_eq!((saved.raft_state_size(), saved.snapshot_size()), (1, 10));
}

#[test]
fn a_state_saved_alone_leaves_the_snapshot() {
    let saved = Persister::new();
    saved.save_state_and_snapshot(vec![1], vec![2]);
    saved.append_raft_state(&[3]);
    saved.save_raft_state(vec![4]);
    assert_eq!(*saved.read_snapshot(), [2]);
}

#[test]
fn copies_are_independent() {
    let saved = Persister::new();
    saved.save_state_and_snapshot(vec![1], vec![2]);
    let copy = saved.copy();
    saved.save_state_and_snapshot(vec![3], vec![4]);
    copy.append_raft_state(&[5]);
    assert_eq!((copy.read_raft_state(), &*copy.read_snapshot()), (vec![1, 5], &[2][..]));
    assert_eq!((saved.read_raft_state(), &*saved.read_snapshot()), (vec![3], &[4][..]));
}

#[test]
fn before_each_save_the_hook_sees_what_was_saved_before() {
    let saved = Arc::new(Persister::new());
    let calls = Arc::new(AtomicUsize::new(0));
    saved.before_save({
        let (calls, saved) = (calls.clone(), Arc::downgrade(&saved));
        move || {
            let saved = saved.upgrade().expect("the test has it");
            assert_eq!(saved.raft_state_size(), calls.fetch_add(1, Ordering::SeqCst));
        }
    });
    saved.save_raft_state(vec![0]);
    saved.append_raft_state(&[0]);
    saved.save_state_and_snapshot(vec![0; 3], vec![0; 4]);
    saved.copy().save_raft_state(Vec::new());
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[test]
fn after_each_save_the_hook_sees_all_of_it() {
    let saved = Arc::new(Persister::new());
    let calls = Arc::new(AtomicUsize::new(0));
    saved.after_save({
        let (calls, saved) = (calls.clone(), Arc::downgrade(&saved));
        move || {
            let saved = saved.upgrade().expect("the test has it");
            let sizes = (saved.raft_state_size(), saved.snapshot_size());
            assert_eq!(sizes, [(1, 0), (2, 0), (3, 4)][calls.fetch_add(1, Ordering::SeqCst)]);
        }
    });
    saved.save_raft_state(vec![0]);
    saved.append_raft_state(&[0]);
    saved.save_state_and_snapshot(vec![0; 3], vec![0; 4]);
    // A copy has no hook.
    saved.copy().save_raft_state(Vec::new());
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}
