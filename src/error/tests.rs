use super::*;

fn hash(byte: u8) -> EventHash {
    EventHash::from_bytes([byte; 32])
}

fn at(sequence: u64, byte: u8) -> Position {
    Position {
        sequence: Sequence::new(sequence).unwrap(),
        event_hash: hash(byte),
    }
}

/// Catches a handle that loses a part on its way through a log: it is all
/// that is left to find out what became of an append.
#[test]
fn a_handle_reads_back_and_nothing_else_does() {
    for previous in [None, Some(hash(3))] {
        let handle = Handle {
            append_id: AppendId::from_bytes([1; 16]),
            position: at(9, 2),
            previous,
        };
        let text = handle.to_string();
        assert_eq!(text.parse(), Ok(handle));
        assert_eq!(format!("{text}.").parse::<Handle>(), Err(InvalidHandle));
        for (cut, _) in text.match_indices('.') {
            assert_eq!(text[..cut].parse::<Handle>(), Err(InvalidHandle));
        }
    }
}

/// Catches a rollback that is told without what shows it.
#[test]
fn a_rollback_says_what_stands_there_now() {
    let told = |found: Option<EventHash>, met: Head| {
        let seen = at(9, 2);
        RolledBack { seen, found, met }.to_string()
    };
    let other = told(Some(hash(5)), Head::At(at(9, 5)));
    assert!(
        other.contains(&format!("hash {} stands there", hash(5))),
        "{other}"
    );
    let empty = told(None, Head::Empty);
    assert!(empty.contains("the chain is empty now"), "{empty}");
    let shorter = told(None, Head::At(at(4, 5)));
    assert!(shorter.contains("ends at sequence 4 now"), "{shorter}");
}

/// Catches an outage that is read as a reply of Redis, or the reverse.
#[test]
fn a_cause_has_a_code_if_redis_said_it() {
    let outage = Cause::new("no reply");
    assert_eq!(
        (outage.code(), outage.to_string().as_str()),
        (None, "no reply")
    );
    let reply = Cause::of_reply("OOM", "out of memory");
    assert_eq!(reply.code(), Some("OOM"));
    assert_eq!(reply.to_string(), "out of memory");
}
