//! The tests of each part: for each Go test function, our tests of the same scenario.

use clap::ValueEnum;

/// A part of the lab.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Part {
    #[value(name = "2A")]
    P2A,
    #[value(name = "2B")]
    P2B,
    #[value(name = "2C")]
    P2C,
    #[value(name = "3A")]
    P3A,
    #[value(name = "3B")]
    P3B,
    Rpc,
    Ops,
}

/// A Go test function and its counterpart here.
pub(crate) struct Test {
    pub(crate) go: &'static str,
    /// The names of our tests, or of one workload of the crate bench.
    pub(crate) ours: &'static [&'static str],
    /// False for a workload of this tool's own.
    pub(crate) is_of_the_lab: bool,
}

const fn test(go: &'static str, ours: &'static [&'static str]) -> Test {
    Test { go, ours, is_of_the_lab: true }
}

const fn workload(go: &'static str, ours: &'static [&'static str]) -> Test {
    Test { go, ours, is_of_the_lab: false }
}

impl Part {
    /// The Go package that holds the tests.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Part::P2A | Part::P2B | Part::P2C => "raft",
            Part::P3A | Part::P3B | Part::Ops => "kvraft",
            Part::Rpc => "labrpc",
        }
    }

    /// The name and text of a test file of ours that is added to the Go package.
    pub(crate) fn extra(self) -> Option<(&'static str, &'static str)> {
        match self {
            Part::Rpc => Some(("compare_rpc_test.go", include_str!("../go/rpc.go"))),
            Part::Ops => Some(("compare_ops_test.go", include_str!("../go/ops.go"))),
            _ => None,
        }
    }

    pub(crate) fn tests(self) -> &'static [Test] {
        match self {
            Part::P2A => TESTS_2A,
            Part::P2B => TESTS_2B,
            Part::P2C => TESTS_2C,
            Part::P3A => TESTS_3A,
            Part::P3B => TESTS_3B,
            Part::Rpc => RPC,
            Part::Ops => OPS,
        }
    }
}

const TESTS_2A: &[Test] = &[
    test("TestInitialElection2A", &["test_initial_election_2a"]),
    test("TestReElection2A", &["test_re_election_2a"]),
];

const TESTS_2B: &[Test] = &[
    test("TestBasicAgree2B", &["test_basic_agree_2b"]),
    test("TestFailAgree2B", &["test_fail_agree_2b"]),
    test("TestFailNoAgree2B", &["test_fail_no_agree_2b"]),
    test("TestConcurrentStarts2B", &["test_concurrent_starts_2b"]),
    test("TestRejoin2B", &["test_rejoin_2b"]),
    test("TestBackup2B", &["test_backup_2b"]),
    test("TestCount2B", &["test_count_2b"]),
];

const TESTS_2C: &[Test] = &[
    test("TestPersist12C", &["test_persist1_2c"]),
    test("TestPersist22C", &["test_persist2_2c"]),
    test("TestPersist32C", &["test_persist3_2c"]),
    test("TestFigure82C", &["test_figure8_2c"]),
    test("TestUnreliableAgree2C", &["test_unreliable_agree_2c"]),
    test("TestFigure8Unreliable2C", &["test_figure8_unreliable_2c"]),
    test("TestReliableChurn2C", &["test_reliable_churn_2c"]),
    test("TestUnreliableChurn2C", &["test_unreliable_churn_2c"]),
];

const TESTS_3A: &[Test] = &[
    test("TestBasic3A", &["test_basic_3a"]),
    test("TestConcurrent3A", &["test_concurrent_3a"]),
    test("TestUnreliable3A", &["test_unreliable_3a"]),
    test("TestUnreliableOneKey3A", &["test_unreliable_one_key_3a"]),
    test(
        "TestOnePartition3A",
        &[
            "test_one_partition_progress_in_majority_3a",
            "test_one_partition_no_progress_in_minority_3a",
            "test_one_partition_completion_after_heal_3a",
        ],
    ),
    test("TestManyPartitionsOneClient3A", &["test_many_partitions_one_client_3a"]),
    test("TestManyPartitionsManyClients3A", &["test_many_partitions_many_clients_3a"]),
    test("TestPersistOneClient3A", &["test_persist_one_client_3a"]),
    test("TestPersistConcurrent3A", &["test_persist_concurrent_3a"]),
    test("TestPersistConcurrentUnreliable3A", &["test_persist_concurrent_unreliable_3a"]),
    test("TestPersistPartition3A", &["test_persist_partition_3a"]),
    test("TestPersistPartitionUnreliable3A", &["test_persist_partition_unreliable_3a"]),
    test(
        "TestPersistPartitionUnreliableLinearizable3A",
        &["test_persist_partition_unreliable_linearizable_3a"],
    ),
];

const TESTS_3B: &[Test] = &[
    test("TestSnapshotRPC3B", &["test_snapshot_rpc_3b"]),
    test("TestSnapshotSize3B", &["test_snapshot_size_3b"]),
    test("TestSnapshotRecover3B", &["test_snapshot_recover_3b"]),
    test("TestSnapshotRecoverManyClients3B", &["test_snapshot_recover_many_clients_3b"]),
    test("TestSnapshotUnreliable3B", &["test_snapshot_unreliable_3b"]),
    test("TestSnapshotUnreliableRecover3B", &["test_snapshot_unreliable_recover_3b"]),
    test(
        "TestSnapshotUnreliableRecoverConcurrentPartition3B",
        &["test_snapshot_unreliable_recover_concurrent_partition_3b"],
    ),
    test(
        "TestSnapshotUnreliableRecoverConcurrentPartitionLinearizable3B",
        &["test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b"],
    ),
];

const RPC: &[Test] = &[
    workload("TestCompareSequential", &["rpc-sequential"]),
    workload("TestCompareTwentyCallers", &["rpc-twenty-callers"]),
];

const OPS: &[Test] = &[workload("TestCompareOperations", &["operations"])];
