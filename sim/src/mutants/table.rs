//! The planted bugs, a row each.

use haechi_store_redis::AttemptError;

use super::{
    bug::Correct,
    bugs::{
        AmbientRandomness, AnchorsDoNotCatchUp, AnchorsUnsynced, AnyCodeAccepted, AuditElsewhere,
        BatchCutInTwo, CachedHeadKept, CheckedAtStartOnly, CopiedRecordBelieved,
        DeposedPrimaryKept, DialsEach, DiffInTwoScripts, EnvelopeEndKept, FailoverForgotten,
        FenceInTwoCommands, FirstDiffKept, FirstPageKept, FirstSliceOnly, IdentityInherited,
        KeysUndeclared, LockNotCompared, LockTrusted, LostReply, MovedSentTwice, NewestFirst,
        NoAdmission, NoAppendId, NoQueueBytes, NoTombstone, NothingObserved, OpenNotApplied,
        OwnClockReveals, OwnClockRules, PagesByCount, PatchedAppend, PatchedApply, PatchedRepair,
        PlaintextInEnvelope, PurgeDropped, ReplacedNodeKept, ReplicaBelieved, ResentAsAnother,
        RollbackAccepted, ScriptRunTwice, SeenIgnored, ShortfallIgnored, SilenceIgnored,
        SnapshotBeforeVersion, UnfencedDeletes, UnknownAcknowledged, WaitOnNewConnection,
    },
    patch::StalePatch,
};
use crate::plan::{
    CommandFault, FaultClass, LinkFault, LossFault, ProcessFault, ServerFault, Topology, Workload,
    WorldOptions,
};

/// Where a bug shows soon.
pub(super) type Worlds = fn(&mut WorldOptions);

/// Every row: the variant and its name on the command line; what is broken;
/// where it shows soon; the type that has the bug, and how it is made.
macro_rules! planted_bugs {
    ($dollar:tt $($variant:ident $name:literal: $broken:literal,
        $worlds:expr => $bug:ty = $new:expr;)+) => {
        /// Which store the replicas of a world run.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum Variant {
            #[doc = "The production store."]
            #[default]
            Correct,
            $(#[doc = $broken] $variant,)+
        }

        impl Variant {
            pub(super) const PLANTED: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in reports and on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Self::Correct => "correct",
                    $(Self::$variant => $name,)+
                }
            }

            /// What is broken, for people.
            #[must_use]
            pub fn describe(self) -> &'static str {
                match self {
                    Self::Correct => "the production store",
                    $(Self::$variant => $broken,)+
                }
            }

            pub(super) fn worlds(self) -> Worlds {
                match self {
                    Self::Correct => |_| {},
                    $(Self::$variant => $worlds,)+
                }
            }

            /// Makes the store.
            pub(super) fn bug(self) -> Result<Bug, StalePatch> {
                Ok(match self {
                    Self::Correct => Bug::Correct(Correct),
                    $(Self::$variant => Bug::$variant($new),)+
                })
            }
        }

        /// The bug of a variant, with what it remembers.
        pub(super) enum Bug {
            Correct(Correct),
            $($variant($bug),)+
        }

        /// Does the same with whichever bug it is.
        macro_rules! each {
            ($dollar self:expr, $dollar bug:ident => $dollar does:expr) => {
                match $dollar self {
                    Bug::Correct($dollar bug) => $dollar does,
                    $(Bug::$variant($dollar bug) => $dollar does,)+
                }
            };
        }
        pub(super) use each;
    };
}

const AUDIT: Worlds = |options| options.workload = Workload::Audit;
const VAULT: Worlds = |options| options.workload = Workload::Vault;
/// Failovers during which Sentinels are killed.
const SENTINELS_GONE: Worlds = |options| {
    options.topology = Some(Topology::Sentinel);
    options.faults = vec![
        LossFault::SentinelFailover.into(),
        ServerFault::SentinelsKilled.into(),
    ];
    options.ops = 100;
};
/// The faults that an acknowledgement can promise to survive.
const DURABLE: Worlds = |options| {
    options.faults = vec![
        LossFault::UnsyncedTailLost.into(),
        LossFault::LaggingReplicaPromoted.into(),
        LossFault::SplitBrain.into(),
    ];
};

/// Where a passage of the Lua is left out of what it decides.
const NEVER: &str = "if false then";
const APPEND_FENCE: &str = "if tail.hash ~= ARGV[1] then";
const APPLY_FENCE: &str = "if moved then";
/// How a script finds out that it runs on a replica of Redis.
const ON_REPLICA: &str = "string.find(answer.err, 'READONLY', 1, true)";

planted_bugs! { $
    NoFence "no_fence": "the append script does not compare the head",
        AUDIT => PatchedAppend = PatchedAppend::new(APPEND_FENCE, NEVER)?;
    FenceInTwoCommands "fence_in_two_commands": "the head is compared by one command and moved by another",
        AUDIT => FenceInTwoCommands = FenceInTwoCommands(PatchedAppend::new(APPEND_FENCE, NEVER)?);
    HeadHashNotAdvanced "head_hash_not_advanced": "head moves without head:hash",
        AUDIT => PatchedAppend = PatchedAppend::new("redis.call('SET', KEYS[3], ARGV[5])", "")?;
    LockTrusted "lock_trusted": "whoever holds the lock appends without the fence",
        AUDIT => LockTrusted<PatchedAppend> = LockTrusted(PatchedAppend::new(APPEND_FENCE, NEVER)?);
    BlindRetry "blind_retry": "a lost reply is taken for a refusal, and the batch is built anew",
        AUDIT => LostReply = LostReply(AttemptError::Refused);
    LostReplyNotApplied "lost_reply_not_applied": "a lost reply is reported as not applied",
        AUDIT => LostReply = LostReply(AttemptError::Denied);
    ErrorReplyNotApplied "error_reply_not_applied": "an error reply with an unknown code is taken for not applied",
        |options| {
            AUDIT(options);
            options.faults = vec![CommandFault::ErrorAfterExecution.into()];
        } => LostReply = LostReply(|cause| match cause.code() {
            Some(_) => AttemptError::Refused(cause),
            None => AttemptError::Ambiguous(cause),
        });
    ConflictReturnsRecord "conflict_returns_record": "a conflict returns the record last seen, of whatever size",
        AUDIT => PatchedAppend = PatchedAppend::new("state = stands and 'stands' or 'other'", "state, found = 'stands', record")?;
    CachedHeadKept "cached_head_kept": "the head met in a conflict is not taken over",
        AUDIT => CachedHeadKept = CachedHeadKept;
    NoAppendId "no_append_id": "appends have no identity: a head of the same hash is taken for one's own",
        AUDIT => NoAppendId = NoAppendId;
    BatchCutInTwo "batch_cut_in_two": "a batch travels as two scripts",
        AUDIT => BatchCutInTwo = BatchCutInTwo;
    UnknownAcknowledged "unknown_acknowledged": "an append of unknown outcome is acknowledged at the position that it can have",
        AUDIT => UnknownAcknowledged = UnknownAcknowledged;
    OpenNotApplied "open_not_applied": "a write that can still be applied is found to be not applied",
        |options| options.faults = vec![CommandFault::LateCommand.into()]
        => OpenNotApplied = OpenNotApplied;
    IdentityInherited "identity_inherited": "an append takes the identity of one that was given up, and with it that one's record",
        AUDIT => IdentityInherited = IdentityInherited::default();
    ReplicaBelieved "replica_believed": "what a replica of Redis answers to an append is believed, and so is its second look",
        |options| {
            AUDIT(options);
            options.faults = vec![LinkFault::LaggingReplica.into()];
        } => ReplicaBelieved = ReplicaBelieved::new(ON_REPLICA)?;
    ReplacedNodeKept "replaced_node_kept": "a connection whose node answers MOVED, ASK or READONLY stays open",
        |options| {
            AUDIT(options);
            options.faults = vec![LinkFault::NodeReplaced.into()];
        } => ReplacedNodeKept = ReplacedNodeKept;
    DeposedPrimaryKept "deposed_primary_kept": "Sentinels are asked when a connection is opened, and not while it is open",
        |options| {
            options.topology = Some(Topology::Sentinel);
            options.faults = vec![LossFault::SentinelFailover.into()];
            options.ops = 100;
        } => DeposedPrimaryKept = DeposedPrimaryKept;
    FailoverForgotten "failover_forgotten": "a Sentinel that is gone is overruled by those that have not heard of the failover",
        SENTINELS_GONE => FailoverForgotten = FailoverForgotten;
    SilenceIgnored "silence_ignored": "writes go on for as long as no Sentinel answers",
        SENTINELS_GONE => SilenceIgnored = SilenceIgnored;
    KeysUndeclared "keys_undeclared": "scripts declare only the first of their keys, the others are arguments",
        |options| {
            options.topology = Some(Topology::Cluster);
            options.faults = vec![ServerFault::SlotMigration.into()];
        } => KeysUndeclared = KeysUndeclared::default();
    MovedSentTwice "moved_sent_twice": "a script that is answered by MOVED is sent to the node that has the slot now, and the store is told MOVED",
        |options| {
            options.topology = Some(Topology::Cluster);
            AUDIT(options);
            options.faults = vec![ServerFault::SlotMigration.into()];
            options.ops = 100;
        } => MovedSentTwice = MovedSentTwice;
    LockNotCompared "lock_not_compared": "a lock is released without comparing whose it is",
        |options| options.faults = FaultClass::Lock.kinds().collect()
            => LockNotCompared = LockNotCompared;
    FirstPageKept "first_page_kept": "a reader serves the first page that was read, for ever",
        AUDIT => FirstPageKept = FirstPageKept::default();
    AmbientRandomness "ambient_randomness": "whether a command more is sent depends on a hash that is seeded anew",
        AUDIT => AmbientRandomness = AmbientRandomness;
    AnchorsDoNotCatchUp "anchors_do_not_catch_up": "a file of anchors is taken for a new one: what it lacks is not caught up with",
        |options| {
            AUDIT(options);
            options.faults = FaultClass::Replica.kinds().collect();
        } => AnchorsDoNotCatchUp = AnchorsDoNotCatchUp;
    AnchorsUnsynced "anchors_unsynced": "anchors count as written once they were given to the medium, synced or not",
        AUDIT => AnchorsUnsynced = AnchorsUnsynced;

    RollbackAccepted "rollback_accepted": "a rollback of the chain is accepted without a word",
        |options| {
            AUDIT(options);
            options.faults = FaultClass::DataLoss.kinds().collect();
        } => RollbackAccepted = RollbackAccepted::always();
    RollbackOnlyLower "rollback_only_lower": "a rollback of the chain is looked for only where the head is lower than what was seen",
        |options| {
            AUDIT(options);
            options.faults = FaultClass::DataLoss.kinds().collect();
        } => RollbackAccepted = RollbackAccepted::where_regrown();

    RepairUnfenced "repair_unfenced": "a repair appends its record whatever has become of the list since it was verified",
        |options| {
            AUDIT(options);
            options.faults = vec![LossFault::KeyDeleted.into(), LossFault::KeyRestored.into()];
        } => PatchedRepair = PatchedRepair::new("return concluded({'changed'})", "")?;
    SeenIgnored "seen_ignored": "a process that is started again does not read its file of what it had seen",
        |options| {
            AUDIT(options);
            options.faults = FaultClass::DataLoss.kinds().collect();
            options.faults.push(ProcessFault::Crash.into());
        } => SeenIgnored = SeenIgnored;
    AnyCodeAccepted "any_code_accepted": "a process goes on from a record that accepts a loss under any key",
        |options| {
            AUDIT(options);
            options.faults = FaultClass::DataLoss.kinds().collect();
        } => AnyCodeAccepted = AnyCodeAccepted;

    WaitOnNewConnection "wait_on_new_connection": "WAIT and WAITAOF are sent on a connection that has written nothing",
        DURABLE => WaitOnNewConnection = WaitOnNewConnection;
    ShortfallIgnored "shortfall_ignored": "what WAIT and WAITAOF answer is not compared with what was asked for",
        DURABLE => ShortfallIgnored = ShortfallIgnored;

    CheckedAtStartOnly "checked_at_start_only": "whether Redis evicts is asked when a store starts, and not at later connections",
        |options| {
            AUDIT(options);
            options.faults = vec![LossFault::EvictingRestart.into()];
        } => CheckedAtStartOnly = CheckedAtStartOnly;
    NoAdmission "no_admission": "a vault sends all that its callers ask for at once",
        |options| {
            VAULT(options);
            options.load = Some(1000);
        } => NoAdmission = NoAdmission;
    NoQueueBytes "no_queue_bytes": "callers may bring any number of bytes while they wait",
        |options| options.load = Some(1000)
        => NoQueueBytes = NoQueueBytes;
    NewestFirst "newest_first": "of the callers that wait, the one that came last is served first",
        |options| {
            AUDIT(options);
            options.load = Some(1000);
        } => NewestFirst = NewestFirst::default();
    DialsEach "dials_each": "every command dials, rather than wait for the connection of another one",
        |options| {
            VAULT(options);
            options.load = Some(1000);
        } => DialsEach = DialsEach;
    PagesByCount "pages_by_count": "pages of the chain have a number of records, whatever their size",
        |options| {
            AUDIT(options);
            options.ops = 100;
        } => PagesByCount = PagesByCount;
    ReceiptsByNumber "receipts_by_number": "receipts are kept by their number only, however many come in little time",
        |options| {
            VAULT(options);
            options.faults = vec![CommandFault::ResetAfterExecution.into()];
            options.replicas = Some(5);
        } => PatchedApply = PatchedApply::new(
            "if age >= 0 and age < state.life * 1000 then break end",
            "",
        )?;
    VaultNoFence "vault_no_fence": "the apply script compares nothing",
        VAULT => PatchedApply = PatchedApply::new(APPLY_FENCE, NEVER)?;
    VaultLockTrusted "vault_lock_trusted": "whoever holds the lock applies without the fence",
        VAULT => LockTrusted<PatchedApply> = LockTrusted(PatchedApply::new(APPLY_FENCE, NEVER)?);
    DeleteKeepsVersion "delete_keeps_version": "a diff of deletes only does not move the version",
        VAULT => PatchedApply = PatchedApply::new(
            "local version = redis.call('INCR', KEYS[2])",
            "local version = state.version
                 if #sets > 0 then version = redis.call('INCR', KEYS[2]) end",
        )?;
    // It takes a token that is purged and not looked at again.
    PurgedNameCut "purged_name_cut": "the names of tokens to delete are cut, so that those of the vault stay",
        |options| {
            VAULT(options);
            options.faults.clear();
            options.replicas = Some(5);
            options.ops = 6;
        } => PatchedApply = PatchedApply::new(
            "deletes[#deletes + 1], gone[#gone + 1] = token, token",
            "deletes[#deletes + 1], gone[#gone + 1] = string.sub(token, 1, 20), token",
        )?;
    VaultReplicaBelieved "vault_replica_believed": "what a replica of Redis answers to an attempt is believed",
        |options| {
            VAULT(options);
            options.faults = vec![LinkFault::LaggingReplica.into()];
        } => PatchedApply = PatchedApply::new(ON_REPLICA, "false")?;
    DiffInTwoScripts "diff_in_two_scripts": "the second half of a diff travels as a script of its own",
        VAULT => DiffInTwoScripts = DiffInTwoScripts;
    DeletesAfterSets "deletes_after_sets": "a token that is deleted and set again is set first and deleted then",
        VAULT => PatchedApply = PatchedApply::new(
            "\
all(redis.call, 'HDEL', KEYS[1], deletes)
all(redis.call, 'HSET', KEYS[1], sets)
",
            "for place = 1, compared do
                   for at = 1, #sets, 2 do
                     if found[place] and sets[at] == ids[place] then deletes[#deletes + 1] = ids[place] end
                   end
                 end
                 all(redis.call, 'HSET', KEYS[1], sets)
                 all(redis.call, 'HDEL', KEYS[1], deletes)
                 ",
        )?;
    FirstDiffKept "first_diff_kept": "a mutation that is tried again applies the diff of its first run",
        VAULT => FirstDiffKept = FirstDiffKept::default();
    SnapshotBeforeVersion "snapshot_before_version": "the tokens are read by one command, the version by a later one",
        VAULT => SnapshotBeforeVersion = SnapshotBeforeVersion;
    ScriptRunTwice "script_run_twice": "a script that was not loaded is run when it is loaded and once more; no receipts",
        VAULT => ScriptRunTwice = ScriptRunTwice(PatchedApply::new(
            "if settled(state) then return ended(state, id) end",
            "",
        )?);
    PruneUnfenced "prune_unfenced": "deletes are not fenced: what was just refreshed is pruned",
        VAULT => UnfencedDeletes = UnfencedDeletes;
    PurgeAgain "purge_again": "a purge whose reply was lost is sent again without fence and receipt",
        VAULT => ResentAsAnother = ResentAsAnother::purges();
    VaultBlindRetry "vault_blind_retry": "an attempt whose reply was lost is sent again as another mutation",
        VAULT => ResentAsAnother = ResentAsAnother::any();
    VaultLostReplyNotApplied "vault_lost_reply_not_applied": "a lost reply is reported as not applied",
        VAULT => LostReply = LostReply(AttemptError::Denied);
    PlaintextInEnvelope "plaintext_in_envelope": "an envelope names the plaintext where the key's name should be",
        VAULT => PlaintextInEnvelope = PlaintextInEnvelope;
    AuditElsewhere "audit_elsewhere": "vaults record in a chain that nobody reads",
        VAULT => AuditElsewhere = AuditElsewhere;
    PurgeDropped "purge_dropped": "a purge that the audit chain states ends where its caller leaves",
        VAULT => PurgeDropped = PurgeDropped;
    OwnClockRules "own_clock_rules": "a process's own clock alone decides whether a token is past its end",
        |options| {
            VAULT(options);
            options.faults = vec![ProcessFault::ClockJump.into(), ProcessFault::ClockDrift.into()];
        } => OwnClockRules = OwnClockRules;
    OwnClockReveals "own_clock_reveals": "a process's own clock alone decides whether a token may be revealed",
        |options| {
            VAULT(options);
            options.faults = vec![ServerFault::ServerClockJump.into()];
        } => OwnClockReveals = OwnClockReveals;
    CopiedRecordBelieved "copied_record_believed": "a reveal opens whatever record is under the token, also another token's",
        VAULT => CopiedRecordBelieved = CopiedRecordBelieved::default();
    // It takes a clock that goes on by days.
    EnvelopeEndKept "envelope_end_kept": "a refreshed token keeps the end of its first envelope",
        |options| {
            VAULT(options);
            options.faults = vec![ServerFault::ServerClockJump.into()];
        } => EnvelopeEndKept = EnvelopeEndKept::default();
    VaultRollbackAccepted "vault_rollback_accepted": "a rollback of the vault is accepted without a word",
        |options| {
            VAULT(options);
            options.faults = FaultClass::DataLoss.kinds().collect();
        } => NothingObserved = NothingObserved;
    VersionTrusted "version_trusted": "the fence on the whole vault trusts the version alone, which a failover lets come round again",
        |options| {
            VAULT(options);
            options.faults = vec![
                LossFault::LaggingReplicaPromoted.into(),
                LossFault::Flushall.into(),
                LossFault::SplitBrain.into(),
            ];
            options.replicas = Some(5);
        } => PatchedApply = PatchedApply::without([
            "lost = lost or next_mark <= mark or (mark >= first and slot ~= seen and slot ~= '~' .. seen)",
            " or string.match(state.receipt or '', '^open (%d+) ') ~= ARGV[9]",
        ])?;
    FirstSliceOnly "first_slice_only": "a scan of the vault takes its first slice for the last one",
        |options| {
            VAULT(options);
            options.loaded = Some(1000);
        } => FirstSliceOnly = FirstSliceOnly;
    // It takes a command that is late, of a token that nobody changes in the
    // meantime.
    NoTombstone "no_tombstone": "a mutation whose reply was lost is given up without a receipt that stops its late attempts",
        |options| {
            VAULT(options);
            options.faults = vec![CommandFault::LateCommand.into()];
            options.replicas = Some(2);
            options.ops = 100;
        } => NoTombstone = NoTombstone::new()?;
}
