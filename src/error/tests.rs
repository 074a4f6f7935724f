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

/// Would catch a handle that loses a part in its text form, which is all that
/// is needed to find out the outcome; and one that names a place before its base.
#[test]
fn only_a_handle_parses_as_one() {
    for base in [Head::Empty, Head::At(at(8, 3))] {
        for position in [None, Some(at(9, 2))] {
            let handle = Handle {
                append_id: AppendId::from_bytes([1; 16]),
                base,
                position,
            };
            let text = handle.to_string();
            assert_eq!(text.parse(), Ok(handle));
            assert_eq!(format!("{text}.").parse::<Handle>(), Err(InvalidHandle));
            let cuts: Vec<_> = text.match_indices('.').collect();
            for (dots, (cut, _)) in cuts.into_iter().enumerate() {
                let ticket = Handle {
                    position: None,
                    ..handle
                };
                let expected = (dots == 2).then_some(ticket).ok_or(InvalidHandle);
                assert_eq!(text[..cut].parse::<Handle>(), expected);
            }
        }
    }
    let before = Handle {
        append_id: AppendId::from_bytes([1; 16]),
        base: Head::At(at(9, 3)),
        position: Some(at(9, 2)),
    };
    assert_eq!(before.to_string().parse::<Handle>(), Err(InvalidHandle));
}

/// Would catch a rollback whose message lacks the current state.
#[test]
fn a_rollback_message_has_the_current_state() {
    let told = |found: Option<EventHash>, met: Head| {
        let seen = at(9, 2);
        let standing = None;
        RolledBack {
            seen,
            found,
            met,
            standing,
        }
        .to_string()
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

/// Would catch text of Redis that forges lines of a log, or controls the
/// terminal that shows it.
#[test]
fn control_characters_are_escaped() {
    let (text, key) = ("\u{1b}[2J\r\nforged".to_owned(), "key".to_owned());
    let said: [&dyn fmt::Display; 5] = [
        &Cause::of_reply("ERR", text.clone()),
        &Corrupt::WrongType {
            key: key.clone(),
            found: text.clone(),
        },
        &Corrupt::Diverged {
            prefix: key.clone(),
            detail: text.clone(),
        },
        &Corrupt::Unreadable {
            key: key.clone(),
            detail: text.clone(),
        },
        &Corrupt::Token {
            key,
            token: text.clone(),
            detail: text,
        },
    ];
    for said in said.map(ToString::to_string) {
        assert!(said.contains(r"\u{1b}[2J\r\nforged"), "{said}");
        assert!(!said.contains(char::is_control), "{said}");
    }
}

/// Would catch an outage that looks like a reply of Redis, or the reverse.
#[test]
fn only_a_cause_from_a_reply_has_a_code() {
    let outage = Cause::new("no reply");
    assert_eq!(
        (outage.code(), outage.to_string().as_str()),
        (None, "no reply")
    );
    let reply = Cause::of_reply("OOM", "out of memory");
    assert_eq!(reply.code(), Some("OOM"));
    assert_eq!(reply.to_string(), "out of memory");
}

/// Every text of an error and of its sources.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts
}

/// Would catch a `Display` that repeats `source()`.
#[test]
fn error_chains_print_each_text_once() {
    use crate::vault::{
        DetokenizeError, InvalidInput, MutateError, PurgeError, RevealError, TokenizeError,
    };
    let refused = || NotApplied::Refused(Cause::new("no such luck"));
    let corrupt = || Corrupt::WrongType {
        key: "k".to_owned(),
        found: "hash".to_owned(),
    };
    let invalid = crate::chain::Event::from_json("[]").unwrap_err();
    let object = crate::vault::JsonObject::from_json("[]").unwrap_err();
    let errors: Vec<Box<dyn std::error::Error>> = vec![
        Box::new(AppendError::from(refused())),
        Box::new(AppendError::from(corrupt())),
        Box::new(AppendError::from(invalid)),
        Box::new(ReadError::from(corrupt())),
        Box::new(MutateError::from(refused())),
        Box::new(MutateError::from(corrupt())),
        Box::new(TokenizeError::from(corrupt())),
        Box::new(TokenizeError::from(InvalidInput::from(object))),
        Box::new(RevealError::from(AppendError::from(refused()))),
        Box::new(DetokenizeError::from(ReadError::from(corrupt()))),
        Box::new(PurgeError::from(MutateError::from(corrupt()))),
        Box::new(PurgeError::from(ReadError::from(corrupt()))),
    ];
    for error in errors {
        let texts = chain(error.as_ref());
        for (place, text) in texts.iter().enumerate() {
            let repeated = texts[..place].iter().any(|above| above.contains(text));
            assert!(!repeated, "{texts:?}");
        }
    }
}

/// Would catch an error that is retryable although it may have been applied, or
/// is permanent.
#[test]
fn only_temporary_errors_without_effect_are_retryable() {
    let cause = || Cause::new("no reply");
    let table = [
        (NotApplied::QueueFull, true),
        (NotApplied::Overloaded, true),
        (NotApplied::Deadline(cause()), true),
        (NotApplied::Entropy("none".to_owned()), true),
        (NotApplied::Refused(cause()), false),
        (NotApplied::Closed, false),
        (NotApplied::ChainFull, false),
    ];
    for (reason, is_retryable) in table {
        let error = AppendError::from(reason);
        assert_eq!(error.is_retryable(), is_retryable, "{error}");
    }
    let unknown = AppendError::Unknown {
        handle: Box::new(Handle {
            append_id: AppendId::from_bytes([1; 16]),
            base: Head::Empty,
            position: Some(at(9, 2)),
        }),
        cause: cause(),
    };
    assert!(!unknown.is_retryable());
    assert!(ReadError::Unavailable(cause()).is_retryable());
}
