//! Attempts whose replies were lost and that arrive later, in memory: what
//! happens in between happens while the mutation runs.

use haechi_store_redis::{
    Builder,
    test_util::{AutoClock, Fault, Faults, Hooked, MemoryVault, VaultModel},
    vault::{
        Done, MutateError, MutationId, TokenStore, View,
        store::{Applied, Fate, Observed},
    },
};

use super::{add, diff, token};

/// A vault that keeps two receipts, and a store whose first attempt is late.
struct Late {
    clock: AutoClock,
    memory: MemoryVault,
    faults: Faults,
    tokens: TokenStore<Hooked<MemoryVault, Faults>, AutoClock>,
}

impl Late {
    fn new() -> Self {
        let clock = AutoClock::default();
        let memory = MemoryVault::over(VaultModel::keeping(2));
        let faults = Faults::of_writes([Fault::Late], Fault::None);
        let store = Hooked::new(memory.clone(), faults.clone());
        let tokens = Builder::new().clock(clock.clone()).token_store(store);
        let late = Self {
            clock,
            memory,
            faults,
            tokens,
        };
        late.set_counter("0");
        late
    }

    /// A foreign replica sets the counter.
    fn set_counter(&self, value: &str) {
        let set = diff(&[("counter", Some(value))]);
        self.memory.with(|vault| vault.mutate_foreign(&set));
    }

    /// The late attempt arrives.
    fn deliver(&self) -> Applied {
        let delivered = self.faults.deliver_attempt(&self.memory);
        let delivered = AutoClock::default().run(delivered).unwrap();
        delivered.unwrap().unwrap()
    }

    /// Other mutations leave as many receipts as are kept.
    fn turn_ring(&self) {
        for number in 0..2 {
            let other = MutationId::from_bytes([number; 16]);
            self.memory.with(|vault| {
                let begun = vault.next_receipt();
                vault.settle(other, begun, &Observed::default()).unwrap();
            });
        }
    }

    /// Runs a mutation that is given the number of its run.
    fn transaction<T: Send>(
        &self,
        mut mutation: impl FnMut(&mut View, u32) -> T + Send,
    ) -> Result<Done<T>, MutateError> {
        let mut runs = 0;
        let counted = |view: &mut View| {
            runs += 1;
            mutation(view, runs)
        };
        let running = self.tokens.transaction([token("counter")], counted);
        self.clock.run(running).unwrap()
    }

    fn counter(&self) -> String {
        let stored = self
            .memory
            .with(|vault| vault.tokens()[&token("counter")].clone());
        String::from_utf8(stored.bytes().to_vec()).unwrap()
    }
}

/// Would catch an attempt that is no longer expected after a conflict, though
/// its first copy may still be applied: the mutation would be *unknown*.
#[test]
fn an_earlier_attempt_that_was_applied_is_the_outcome() {
    let late = Late::new();
    let done = late.transaction(|view, run| {
        add(view, 10);
        if run == 1 {
            late.set_counter("1");
        } else {
            late.set_counter("0");
            let applied = late.deliver();
            assert!(matches!(applied, Applied::Committed { .. }), "{applied:?}");
        }
        run
    });
    assert_eq!(done.unwrap().output, 1, "the run that was applied");
    assert_eq!(late.counter(), "10");
}

/// Would catch a mutation that begins anew at another load: with the receipt of
/// its late attempt replaced, it would be applied twice.
#[test]
fn a_mutation_begins_once() {
    let late = Late::new();
    let ended = late.transaction(|view, run| {
        add(view, 10);
        match run {
            1 => late.set_counter("1"),
            2 => {
                late.set_counter("0");
                late.deliver();
                late.turn_ring();
                // Not loaded yet.
                view.get(&token("other"));
            }
            _ => {
                view.get(&token("other"));
            }
        }
    });
    assert!(
        matches!(ended, Err(MutateError::Unknown { .. })),
        "{ended:?}"
    );
    assert_eq!(late.counter(), "10");
}

/// Would catch "nothing to do" said of a mutation whose first attempt is applied
/// later.
#[test]
fn nothing_to_do_is_settled_first() {
    let late = Late::new();
    let done = late.transaction(|view, run| {
        if run == 1 {
            add(view, 10);
            late.set_counter("1");
        }
        run
    });
    let done = done.unwrap();
    assert_eq!((done.output, done.version), (2, None));
    late.set_counter("0");
    assert_eq!(late.deliver(), Applied::Settled(Fate::Dropped));
    assert_eq!(late.counter(), "0");
}
