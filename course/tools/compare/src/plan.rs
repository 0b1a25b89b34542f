//! What is run: for each Go test function, ours of the same title.

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

/// A Go test function, and ours.
pub(crate) struct Title {
    pub(crate) go: &'static str,
    pub(crate) ours: &'static [&'static str],
    /// Not a workload of this tool's own.
    pub(crate) is_a_test: bool,
}

const fn title(go: &'static str, ours: &'static [&'static str]) -> Title {
    Title { go, ours, is_a_test: true }
}

const fn workload(go: &'static str, ours: &'static [&'static str]) -> Title {
    Title { go, ours, is_a_test: false }
}

impl Part {
    /// The Go package.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Part::P2A | Part::P2B | Part::P2C => "raft",
            Part::P3A | Part::P3B | Part::Ops => "kvraft",
            Part::Rpc => "labrpc",
        }
    }

    /// A test file of ours that the Go package gets besides its own.
    pub(crate) fn extra(self) -> Option<(&'static str, &'static str)> {
        match self {
            Part::Rpc => Some(("compare_rpc_test.go", include_str!("../go/rpc.go"))),
            Part::Ops => Some(("compare_ops_test.go", include_str!("../go/ops.go"))),
            _ => None,
        }
    }

    pub(crate) fn titles(self) -> &'static [Title] {
        match self {
            Part::P2A => TITLES_2A,
            Part::P2B => TITLES_2B,
            Part::P2C => TITLES_2C,
            Part::P3A => TITLES_3A,
            Part::P3B => TITLES_3B,
            Part::Rpc => RPC,
            Part::Ops => OPS,
        }
    }
}

const TITLES_2A: &[Title] = &[
    title("TestInitialElection2A", &["test_initial_election_2a"]),
    title("TestReElection2A", &["test_re_election_2a"]),
];

const TITLES_2B: &[Title] = &[
    title("TestBasicAgree2B", &["test_basic_agree_2b"]),
    title("TestFailAgree2B", &["test_fail_agree_2b"]),
    title("TestFailNoAgree2B", &["test_fail_no_agree_2b"]),
    title("TestConcurrentStarts2B", &["test_concurrent_starts_2b"]),
    title("TestRejoin2B", &["test_rejoin_2b"]),
    title("TestBackup2B", &["test_backup_2b"]),
    title("TestCount2B", &["test_count_2b"]),
];

const TITLES_2C: &[Title] = &[
    title("TestPersist12C", &["test_persist1_2c"]),
    title("TestPersist22C", &["test_persist2_2c"]),
    title("TestPersist32C", &["test_persist3_2c"]),
    title("TestFigure82C", &["test_figure8_2c"]),
    title("TestUnreliableAgree2C", &["test_unreliable_agree_2c"]),
    title("TestFigure8Unreliable2C", &["test_figure8_unreliable_2c"]),
    title("TestReliableChurn2C", &["test_reliable_churn_2c"]),
    title("TestUnreliableChurn2C", &["test_unreliable_churn_2c"]),
];

const TITLES_3A: &[Title] = &[
    title("TestBasic3A", &["test_basic_3a"]),
    title("TestConcurrent3A", &["test_concurrent_3a"]),
    title("TestUnreliable3A", &["test_unreliable_3a"]),
    title("TestUnreliableOneKey3A", &["test_unreliable_one_key_3a"]),
    title(
        "TestOnePartition3A",
        &[
            "test_one_partition_progress_in_majority_3a",
            "test_one_partition_no_progress_in_minority_3a",
            "test_one_partition_completion_after_heal_3a",
        ],
    ),
    title("TestManyPartitionsOneClient3A", &["test_many_partitions_one_client_3a"]),
    title("TestManyPartitionsManyClients3A", &["test_many_partitions_many_clients_3a"]),
    title("TestPersistOneClient3A", &["test_persist_one_client_3a"]),
    title("TestPersistConcurrent3A", &["test_persist_concurrent_3a"]),
    title("TestPersistConcurrentUnreliable3A", &["test_persist_concurrent_unreliable_3a"]),
    title("TestPersistPartition3A", &["test_persist_partition_3a"]),
    title("TestPersistPartitionUnreliable3A", &["test_persist_partition_unreliable_3a"]),
    title(
        "TestPersistPartitionUnreliableLinearizable3A",
        &["test_persist_partition_unreliable_linearizable_3a"],
    ),
];

const TITLES_3B: &[Title] = &[
    title("TestSnapshotRPC3B", &["test_snapshot_rpc_3b"]),
    title("TestSnapshotSize3B", &["test_snapshot_size_3b"]),
    title("TestSnapshotRecover3B", &["test_snapshot_recover_3b"]),
    title("TestSnapshotRecoverManyClients3B", &["test_snapshot_recover_many_clients_3b"]),
    title("TestSnapshotUnreliable3B", &["test_snapshot_unreliable_3b"]),
    title("TestSnapshotUnreliableRecover3B", &["test_snapshot_unreliable_recover_3b"]),
    title(
        "TestSnapshotUnreliableRecoverConcurrentPartition3B",
        &["test_snapshot_unreliable_recover_concurrent_partition_3b"],
    ),
    title(
        "TestSnapshotUnreliableRecoverConcurrentPartitionLinearizable3B",
        &["test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b"],
    ),
];

const RPC: &[Title] = &[
    workload("TestCompareSequential", &["rpc-sequential"]),
    workload("TestCompareTwentyCallers", &["rpc-twenty-callers"]),
];

const OPS: &[Title] = &[workload("TestCompareOperations", &["operations"])];
