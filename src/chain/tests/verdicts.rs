//! Verification beyond the vectors: invalid lines, conflicts, several faults.

use crate::chain::{
    Anchor, Anchors, Event, EventHash, Fault, Head, InvalidLine, Loss, LostRange, Reason, Record,
    Sequence, Verdict, Verifier,
};

fn chain(length: usize) -> Vec<Record> {
    let mut head = Head::Empty;
    (0..length)
        .map(|number| {
            let event = Event::from_json(&format!("{{\"id\":{number}}}")).unwrap();
            let record = event.seal(None, &head).unwrap();
            head = Head::At(record.position());
            record
        })
        .collect()
}

fn lines(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| record.text().to_owned())
        .collect()
}

/// Every fault as it is returned, then the verdict.
fn run(mut verifier: Verifier, lines: &[String]) -> (Vec<String>, Verdict) {
    let mut faults = Vec::new();
    for line in lines {
        faults.extend(verifier.line(line.as_bytes()).iter().map(Fault::to_string));
    }
    let verdict = verifier.finish();
    faults.extend(verdict.closing.iter().map(Fault::to_string));
    assert_eq!(verdict.faults, faults.len() as u64);
    assert_eq!(verdict.is_valid(), faults.is_empty());
    (faults, verdict)
}

fn anchors(of: impl IntoIterator<Item = (u64, EventHash)>) -> Anchors {
    let mut anchors = Anchors::new();
    anchors.extend(of.into_iter().map(|(sequence, event_hash)| Anchor {
        sequence: Sequence::new(sequence).unwrap(),
        event_hash,
        timestamp: "2026-01-01T00:00:00.000Z".to_owned(),
    }));
    anchors
}

fn hash(record: &Record) -> EventHash {
    record.position().event_hash
}

const FORGED: EventHash = EventHash::from_bytes([5; 32]);

#[test]
fn invalid_lines_are_reported_with_their_number() {
    let sound = lines(&chain(2));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    for (line, reason) in [
        ("{\"a\":", "invalid: not JSON at byte 5"),
        (
            "{\"a\":1,\"a\":1}",
            "invalid: repeated member name at byte 7",
        ),
        (
            "{\"a\":9007199254740993}",
            "invalid: number that reading changes at byte 5",
        ),
        (
            "{\"a\":1e999}",
            "invalid: number that reading changes at byte 5",
        ),
        ("7", "missing auditIntegrity"),
        ("null", "missing auditIntegrity"),
        ("[{\"auditIntegrity\":{}}]", "missing auditIntegrity"),
        ("{\"auditIntegrity\":[1]}", "missing auditIntegrity"),
        ("{\"auditIntegrity\":{}}", "sequence mismatch"),
        (&deep, "unsupported: nested deeper than 1024"),
    ] {
        let lines = [
            sound[0].clone(),
            " \t\r".to_owned(),
            line.to_owned(),
            sound[1].clone(),
        ];
        let (faults, verdict) = run(Verifier::new(), &lines);
        assert_eq!(faults, [format!("line 3: {reason}")]);
        assert_eq!((verdict.records, verdict.read, verdict.lines), (1, 2, 3));
    }
    let mut verifier = Verifier::new();
    let not_utf8 = InvalidLine::NotJson { offset: 1 };
    assert_eq!(
        verifier.line(b"\"\xff\"")[0].reason,
        Reason::Invalid(not_utf8)
    );
    assert!(verifier.is_settled());
}

#[test]
fn foreign_records_may_be_deeper_than_events() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(900), "]".repeat(900));
    let limits = crate::chain::Limits {
        max_depth: 5000,
        ..Default::default()
    };
    let event = Event::from_json_slice(deep.as_bytes(), &limits).unwrap();
    let record = event.seal(None, &Head::Empty).unwrap();
    assert!(
        run(Verifier::new(), &lines(std::slice::from_ref(&record)))
            .1
            .is_valid()
    );
    let shallow = run(Verifier::new().with_max_depth(100), &lines(&[record]));
    assert_eq!(shallow.0, ["line 1: unsupported: nested deeper than 100"]);
}

#[test]
fn an_absent_previous_hash_is_null_and_further_members_are_hashed() {
    use sha2::Digest as _;
    let hashed = r#"{"auditIntegrity":{"alg":"none","note":[1],"sequence":1}}"#;
    let hash = EventHash::from_bytes(sha2::Sha256::digest(hashed).into());
    let stored = |note: u8| {
        format!(
            r#"{{"auditIntegrity":{{"eventHash":"{hash}","sequence":1,"note":[{note}],"alg":"none"}}}}"#
        )
    };
    assert!(run(Verifier::new(), &[stored(1)]).1.is_valid());
    assert_eq!(
        run(Verifier::new(), &[stored(2)]).0,
        ["line 1: event hash mismatch"]
    );
}

#[test]
fn conflicting_anchors_are_a_fault_of_their_own() {
    let records = chain(4);
    let attest = |number: usize| (number as u64, hash(&records[number - 1]));
    let with = |anchors| run(Verifier::new().with_anchors(anchors), &lines(&records));

    // Even if one of the two is right, in either order.
    for order in [[attest(3), (3, FORGED)], [(3, FORGED), attest(3)]] {
        let (faults, verdict) = with(anchors(order));
        assert_eq!(faults, ["line 3: anchor conflict at sequence 3"]);
        assert_eq!(verdict.records, 2);
    }
    // Equal duplicates are legal.
    let (_, verdict) = with(anchors([attest(3), attest(2), attest(3)]));
    let anchored = verdict.anchored.unwrap();
    assert!(verdict.is_valid());
    assert_eq!(
        (anchored.count, anchored.last_sequence),
        (2, Sequence::new(3))
    );
    // Beyond the chain, a conflict comes before truncation.
    let (faults, verdict) = with(anchors([(9, FORGED), (6, FORGED), (6, hash(&records[0]))]));
    assert_eq!(faults, ["anchor conflict at sequence 6"]);
    assert_eq!(verdict.records, 4);
    let beyond = anchors([(9, FORGED), (6, FORGED), (6, hash(&records[0]))]);
    let (faults, _) = run(
        Verifier::new().with_anchors(beyond).keep_going(),
        &lines(&records),
    );
    let truncated = "tail truncation: chain has 4 records but anchor attests sequence 9";
    assert_eq!(faults, ["anchor conflict at sequence 6", truncated]);
}

#[test]
fn an_empty_chain_is_valid_without_anchors() {
    let (_, verdict) = run(Verifier::new(), &[]);
    assert!(verdict.is_valid() && verdict.head.is_empty() && verdict.anchored.is_none());
    let (faults, _) = run(Verifier::new().with_anchors(anchors([(1, FORGED)])), &[]);
    assert_eq!(
        faults,
        ["tail truncation: chain has 0 records but anchor attests sequence 1"]
    );
}

#[test]
fn going_on_lists_each_fault_once() {
    let records = chain(12);
    let mut lines = lines(&records);
    lines[1] = lines[1].replace("\"id\":1", "\"id\":\"edited\"");
    lines[4] = "torn".to_owned();
    lines.insert(7, "{}".to_owned());
    lines.remove(10);
    let conflict = [(6, FORGED), (6, hash(&records[5])), (9, FORGED)];
    let verifier = Verifier::new().with_anchors(anchors(conflict)).keep_going();
    let (faults, verdict) = run(verifier, &lines);
    assert_eq!(
        faults,
        [
            "line 2: event hash mismatch",
            "line 5: invalid: not JSON at byte 0",
            "line 6: anchor conflict at sequence 6",
            "line 8: missing auditIntegrity",
            "line 10: anchor hash mismatch at sequence 9",
            "line 11: sequence mismatch",
        ]
    );
    assert_eq!((verdict.records, verdict.read), (1, 12));
    assert_eq!(verdict.head, Head::At(records[11].position()));
}

/// Would catch unreadable records that excuse a sequence before them, or none.
#[test]
fn unreadable_records_excuse_as_many_sequences() {
    let faults = |unreadable: &str, next: usize| {
        let records = chain(next + 1);
        let mut lines = lines(&records[..2]);
        lines.push(unreadable.to_owned());
        lines.push(records[next].text().to_owned());
        run(Verifier::new().keep_going(), &lines).0
    };
    let nameless = chain(3)[2].text().replace("eventHash", "eventHush");
    for unreadable in ["torn", &nameless] {
        assert_eq!(faults(unreadable, 3).len(), 1, "{unreadable}");
        for next in [4, 5] {
            let faults = faults(unreadable, next);
            assert_eq!(faults.len(), 2, "{faults:?}");
            assert_eq!(faults[1], "line 4: sequence mismatch");
        }
    }
}

#[test]
fn one_record_can_have_several_faults() {
    let records = chain(2);
    let edited = records[1]
        .text()
        .replace("\"id\":1", "\"id\":2")
        .replace(":2}", ":3}");
    let forged = records[1]
        .text()
        .replace(&hash(&records[0]).to_text(), &FORGED.to_text());
    let first = records[0].text().to_owned();
    let (faults, _) = run(Verifier::new().keep_going(), &[first.clone(), forged]);
    assert_eq!(
        faults,
        [
            "line 2: previous hash mismatch",
            "line 2: event hash mismatch"
        ]
    );
    let (faults, _) = run(Verifier::new(), &[first, edited]);
    assert_eq!(faults.len(), 1);
}

#[test]
fn verification_can_start_after_a_known_position() {
    let records = chain(6);
    let known = Head::At(records[2].position());
    let verifier = Verifier::new().starting_after(known);
    let (_, verdict) = run(verifier, &lines(&records[3..]));
    assert!(verdict.is_valid());
    assert_eq!(
        (verdict.records, verdict.head),
        (3, Head::At(records[5].position()))
    );
    let elsewhere = Verifier::new().starting_after(Head::At(records[1].position()));
    assert_eq!(
        run(elsewhere, &lines(&records[3..])).0,
        ["line 1: sequence mismatch"]
    );
}

/// Would catch a start that does not count as read: an anchor there would be
/// reported as cut off.
#[test]
fn the_start_is_part_of_the_chain() {
    let last = chain(3)[2].position();
    let anchors = anchors([(3, last.event_hash)]);
    let verifier = Verifier::new().starting_after(Head::At(last));
    assert_eq!(run(verifier.with_anchors(anchors), &[]).0, [""; 0]);
}

/// Would catch a comma left behind when `eventHash` is the last member: the
/// record would be reported as altered.
#[test]
fn a_last_event_hash_is_removed_with_its_comma() {
    use sha2::Digest as _;

    for others in ["", r#""alg":"sha256","#] {
        let hashed = format!(
            r#"{{"auditIntegrity":{{{}}}}}"#,
            others.trim_end_matches(',')
        );
        let hash = EventHash::from_bytes(sha2::Sha256::digest(&hashed).into());
        let line = format!(r#"{{"auditIntegrity":{{{others}"eventHash":"{hash}"}}}}"#);
        let faults = Verifier::new().keep_going().line(line.as_bytes());
        let reasons: Vec<_> = faults.iter().map(|fault| fault.reason).collect();
        assert_eq!(reasons, [Reason::SequenceMismatch], "{line}");
    }
}

/// Would catch a stored head that is compared with nothing.
#[test]
fn the_verifier_is_at_the_last_records_position() {
    let records = chain(3);
    let mut verifier = Verifier::new();
    assert_eq!(verifier.position(), Head::Empty);
    for record in &records {
        verifier.line(record.text().as_bytes());
        assert_eq!(verifier.position(), Head::At(record.position()));
    }
    assert_eq!(verifier.lines(), 3);
}

/// Would catch an acceptance that counts without its record or for another range,
/// one that excuses more than anchors, and faults that are named out of order.
#[test]
fn anchors_of_an_accepted_loss_are_excused() {
    let lost = chain(6);
    let loss = Loss {
        range: "3..6".parse().unwrap(),
        head_hash: hash(&lost[5]),
    };
    let event = loss.accepted("2026-01-01T00:00:00.000Z", None).unwrap();
    let mut records = chain(2);
    for event in [event, Event::from_json(r#"{"id":"on"}"#).unwrap()] {
        let head = Head::At(records[records.len() - 1].position());
        records.push(event.seal(None, &head).unwrap());
    }
    let at = |record: &Record| (record.position().sequence.get(), hash(record));
    let told = |accept: &str, more: Option<(u64, EventHash)>, records: &[Record]| {
        let anchored = lost.iter().skip(2).map(at).chain(more);
        let verifier = Verifier::new().with_anchors(anchors(anchored));
        let accept: LostRange = accept.parse().unwrap();
        let verdict = run(verifier.accepting([accept]), &lines(records)).1;
        let losses: Vec<Loss> = verdict
            .accepted
            .iter()
            .map(|accepted| accepted.loss)
            .collect();
        let fault = verdict.fault.map(|fault| fault.reason.to_string());
        (fault.unwrap_or_default(), verdict.records, losses)
    };
    assert_eq!(told("3..6", None, &records), (String::new(), 4, vec![loss]));
    // The new history is anchored, too.
    let anew = Some(at(&records[3]));
    assert_eq!(told("3..6", anew, &records).0, "");
    let mismatch = "anchor hash mismatch at sequence 3";
    assert_eq!(told("4..6", None, &records).0, mismatch);
    assert_eq!(
        told("3..7", None, &records),
        (mismatch.to_owned(), 2, vec![loss])
    );
    assert_eq!(
        told("3..6", None, &records[..2]).0,
        "tail truncation: chain has 2 records but anchor attests sequence 6"
    );
    let beyond = Some((9, hash(&lost[0])));
    assert_eq!(
        told("3..6", beyond, &records).0,
        "tail truncation: chain has 4 records but anchor attests sequence 9"
    );
    // One loss explains one other record of a sequence; the last one by its hash.
    let second = Some((4, hash(&lost[0])));
    assert_eq!(
        told("3..6", second, &records).0,
        "anchor conflict at sequence 4"
    );
    let second = Some((5, hash(&lost[0])));
    assert_eq!(
        told("3..6", second, &records).0,
        "anchor conflict at sequence 5"
    );
    let rewritten = anchors([(6, hash(&lost[0]))]);
    let verifier = Verifier::new()
        .with_anchors(rewritten)
        .accepting([loss.range]);
    let fault = run(verifier, &lines(&records)).1.fault.unwrap();
    assert_eq!(
        fault.reason.to_string(),
        "tail truncation: chain has 4 records but anchor attests sequence 6"
    );
    let standing = Some((1, hash(&lost[5])));
    assert_eq!(
        told("3..6", standing, &records).0,
        "anchor hash mismatch at sequence 1"
    );
    let mut damaged = lines(&records);
    damaged[3] = damaged[3].replace("\"on\"", "\"off\"");
    let anchored = anchors(lost.iter().skip(2).map(at));
    let verifier = Verifier::new()
        .with_anchors(anchored)
        .accepting([loss.range]);
    let verdict = run(verifier, &damaged).1;
    assert_eq!(
        verdict.fault.unwrap().reason.to_string(),
        "event hash mismatch"
    );
}
