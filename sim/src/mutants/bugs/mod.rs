//! The bugs that are behaviour: one file each, or one for a few of a kind.

mod ambient_randomness;
mod anchors;
mod audit_elsewhere;
mod batch_cut_in_two;
mod cached_head_kept;
mod checked_at_start_only;
mod copied_record_believed;
mod dials_each;
mod diff_in_two_scripts;
mod envelope_end_kept;
mod fence_in_two_commands;
mod first_diff_kept;
mod first_page_kept;
mod first_slice_only;
mod identity_inherited;
mod lock_not_compared;
mod lost_reply;
mod newest_first;
mod no_admission;
mod no_append_id;
mod no_tombstone;
mod nothing_observed;
mod open_not_applied;
mod own_clock_reveals;
mod own_clock_rules;
mod pages_by_count;
mod patched;
mod plaintext_in_envelope;
mod purge_dropped;
mod replaced_node_kept;
mod replica_believed;
mod resent_as_another;
mod rollback_accepted;
mod script_run_twice;
mod shortfall_ignored;
mod snapshot_before_version;
mod unfenced_deletes;
mod unknown_acknowledged;
mod wait_on_new_connection;

pub(super) use ambient_randomness::AmbientRandomness;
pub(super) use anchors::{AnchorsDoNotCatchUp, AnchorsUnsynced};
pub(super) use audit_elsewhere::AuditElsewhere;
pub(super) use batch_cut_in_two::BatchCutInTwo;
pub(super) use cached_head_kept::CachedHeadKept;
pub(super) use checked_at_start_only::CheckedAtStartOnly;
pub(super) use copied_record_believed::CopiedRecordBelieved;
pub(super) use dials_each::DialsEach;
pub(super) use diff_in_two_scripts::DiffInTwoScripts;
pub(super) use envelope_end_kept::EnvelopeEndKept;
pub(super) use fence_in_two_commands::FenceInTwoCommands;
pub(super) use first_diff_kept::FirstDiffKept;
pub(super) use first_page_kept::FirstPageKept;
pub(super) use first_slice_only::FirstSliceOnly;
pub(super) use identity_inherited::IdentityInherited;
pub(super) use lock_not_compared::LockNotCompared;
pub(super) use lost_reply::LostReply;
pub(super) use newest_first::NewestFirst;
pub(super) use no_admission::{NoAdmission, NoQueueBytes};
pub(super) use no_append_id::NoAppendId;
pub(super) use no_tombstone::NoTombstone;
pub(super) use nothing_observed::NothingObserved;
pub(super) use open_not_applied::OpenNotApplied;
pub(super) use own_clock_reveals::OwnClockReveals;
pub(super) use own_clock_rules::OwnClockRules;
pub(super) use pages_by_count::PagesByCount;
pub(super) use patched::{LockTrusted, PatchedAppend, PatchedApply};
pub(super) use plaintext_in_envelope::PlaintextInEnvelope;
pub(super) use purge_dropped::PurgeDropped;
pub(super) use replaced_node_kept::ReplacedNodeKept;
pub(super) use replica_believed::ReplicaBelieved;
pub(super) use resent_as_another::ResentAsAnother;
pub(super) use rollback_accepted::RollbackAccepted;
pub(super) use script_run_twice::ScriptRunTwice;
pub(super) use shortfall_ignored::ShortfallIgnored;
pub(super) use snapshot_before_version::SnapshotBeforeVersion;
pub(super) use unfenced_deletes::UnfencedDeletes;
pub(super) use unknown_acknowledged::UnknownAcknowledged;
pub(super) use wait_on_new_connection::WaitOnNewConnection;

use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
