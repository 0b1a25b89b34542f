#!/usr/bin/env bash
# Gradescope runs this as root, once, while it makes the image of the autograder: installs what the grader needs and builds it.
#
# The variables are for tests of this script; Gradescope sets none of them.
#   AUTOGRADER    the folder in which Gradescope has unpacked the zip, in its folder source
#   READY         the folder for the grader and a build of everything that is not handed in
set -euo pipefail
autograder=${AUTOGRADER:-/autograder}
ready=${READY:-/opt/lab3}

if ! command -v make >/dev/null || ! command -v cc >/dev/null || ! command -v curl >/dev/null; then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates curl gcc libc6-dev make procps
fi
if ! command -v cargo >/dev/null; then
  # Links to cargo and rustc themselves: the programs of these names that rustup installs need the user's own home.
  export RUSTUP_HOME=/opt/rustup CARGO_HOME=/opt/cargo
  curl -sSf -o /tmp/rustup-init "https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init"
  chmod 755 /tmp/rustup-init
  /tmp/rustup-init -y --quiet --profile minimal --no-modify-path
  rm /tmp/rustup-init
  bin=$(/opt/cargo/bin/rustc --print sysroot)/bin
  ln -s "$bin/cargo" "$bin/rustc" /usr/local/bin
fi
cd "$autograder/source"
make -f autograde-Makefile image READY="$ready"
