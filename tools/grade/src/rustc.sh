#!/bin/sh
# Cargo calls this (RUSTC_WRAPPER) with the compiler and its arguments when it builds a hand-in. Before a crate of the hand-in is
# compiled, the compiler prints to $GRADE_EXPANDED what the crate's macros expand to. A compiler that cannot print it leaves no file
# there. The grader sets the options that each crate is compiled with.
expand() {
  printed=$GRADE_EXPANDED/$1.rs
  shift
  RUSTC_BOOTSTRAP=1 "$@" -Zunpretty=expanded -o "$printed" >/dev/null 2>&1 || rm -f "$printed"
}

# The options of a crate stand in one variable, with spaces between.
case " $* " in
*" --crate-name raft "*" raft/src/lib.rs "*)
  expand raft "$@"
  exec "$@" $GRADE_LIBRARY
  ;;
*" --crate-name kvraft "*" kvraft/src/lib.rs "*)
  expand kvraft "$@"
  exec "$@" $GRADE_LIBRARY
  ;;
*" --crate-name test_test "*) exec "$@" $GRADE_TESTS ;;
*"/tests/hunt.rs "*) exec "$@" $GRADE_HUNT ;;
esac
exec "$@"
