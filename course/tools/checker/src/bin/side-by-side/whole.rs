//! A model of the key/value store without partitions, to measure what partitions save.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use linearizability::{Kind, KvInput, KvModel, KvOp, KvOutput, KvState, Model};

/// The model. Its state holds all keys.
pub struct WholeKv;

/// The values of all keys, and a hash that each step updates.
#[derive(Clone, PartialEq, Eq)]
pub struct Store {
    hash: u64,
    values: Arc<BTreeMap<String, KvState>>,
}

impl Hash for Store {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

impl Model for WholeKv {
    type Input = KvInput;
    type Output = KvOutput;
    type State = Store;

    fn kind(&self, input: &KvInput, output: &KvOutput) -> Kind {
        KvModel.kind(input, output)
    }

    fn leads_to(&self, store: &Store, input: &KvInput, output: &KvOutput) -> bool {
        let start = KvModel.init();
        KvModel.leads_to(store.values.get(&input.key).unwrap_or(&start), input, output)
    }

    fn brings(&self, operation: (&KvInput, &KvOutput), read: (&KvInput, &KvOutput)) -> bool {
        KvModel.brings(operation, read)
    }

    fn init(&self) -> Store {
        Store { hash: 0, values: Arc::default() }
    }

    fn step(&self, store: &Store, input: &KvInput, output: &KvOutput) -> Option<Store> {
        let before = store.values.get(&input.key).cloned().unwrap_or_else(|| KvModel.init());
        let after = KvModel.step(&before, input, output)?;
        if input.op == KvOp::Get {
            return Some(store.clone());
        }
        let mut values = BTreeMap::clone(&store.values);
        let hash =
            store.hash.wrapping_sub(hash_of(&input.key, &before)).wrapping_add(hash_of(&input.key, &after));
        values.insert(input.key.clone(), after);
        Some(Store { hash, values: Arc::new(values) })
    }
}

fn hash_of(key: &str, value: &KvState) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}
