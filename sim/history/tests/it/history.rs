//! Histories: what was written is read back, and malformed lines are reported.

use haechi_history::{
    Appended, ChainEntry, ChainRead, Durability, FinalState, Function, History, Loss, Malformed,
    Outcome, ReadError, Recorder, Seen, read, write,
};

const ALL: &str = r#"{"time":0,"process":"r0","op":7,"type":"invoke","f":"append","value":{"id":"e\"1"}}
{"time":1,"process":"r1","op":3,"type":"invoke","f":"append","foreign":true}
{"time":9,"process":"r0","op":7,"type":"ok","value":{"sequence":1,"eventHash":"a","durability":"replicas:2"}}
{"time":9,"process":"r1","op":3,"type":"fail","error":"READONLY"}
{"time":10,"process":"r0","op":8,"type":"invoke","f":"read_chain"}
{"time":11,"process":"r0","op":8,"type":"ok","value":{"hashes":["a"]}}
{"time":12,"process":"r1","op":20,"type":"invoke","f":"mutate"}
{"time":20,"process":"r1","op":20,"type":"unknown","value":{"reads":{"t1":null},"writes":{"t1":"v1"}},"error":"…"}
{"time":21,"process":"r0","op":21,"type":"invoke","f":"mutate"}
{"time":22,"process":"r0","op":21,"type":"ok","value":{"reads":{"t1":"v1"},"writes":{"t2":"v2","t1":null},"version":3,"durability":"fsync"}}
{"time":25,"process":"r0","op":22,"type":"invoke","f":"read"}
{"time":30,"process":"r0","op":22,"type":"ok","value":{"tokens":{"t2":"v2"}}}
{"time":40,"type":"loss","fault":"failover","hashes":["a"],"tokens":["t2"],"versions":[3],"coveredBy":["replicas:3"]}
{"time":44,"process":"r0","type":"rollback","sequence":1,"eventHash":"a"}
{"time":45,"process":"r1","type":"rollback","version":3}
{"time":46,"process":"r1","op":23,"type":"invoke","f":"mutate"}
{"time":47,"process":"r1","op":23,"type":"fail","value":{"reads":{},"writes":{"t4":"v4"}},"error":"OOM"}
{"time":48,"process":"r1","op":24,"type":"invoke","f":"read"}
{"time":49,"process":"r1","op":24,"type":"ok","value":{"tokens":{"t1":"v1"},"undecryptable":["t1"]}}
{"time":50,"process":"r1","op":25,"type":"invoke","f":"reveal"}
{"time":51,"process":"r1","op":25,"type":"ok","value":{"tokens":{"t1":"p1"}}}
{"time":52,"process":"r1","op":26,"type":"invoke","f":"purge_expired"}
{"type":"final","chain":[{"op":7,"sequence":1,"previousHash":null,"eventHash":"a","audit":{"operation":"token-vault:reveal","tokens":["t1"]}}],"tokens":{"t1":"v1"},"version":1,"audits":[{"operation":"token-vault:purge","tokens":["t2"]}]}
"#;

fn text_of(history: &History) -> String {
    let mut text = Vec::new();
    write(history, &mut text).expect("a vector takes everything");
    String::from_utf8(text).expect("JSON is UTF-8")
}

#[test]
fn what_is_written_reads_back() {
    let history = read(ALL.as_bytes()).unwrap();
    assert_eq!(history.operations().len(), 10);
    assert_eq!((history.losses().len(), history.rollbacks().len()), (1, 2));
    assert!(history.is_foreign(history.operations()[1].process));
    let once = text_of(&history);
    let again = text_of(&read(once.as_bytes()).unwrap());
    assert_eq!(once, again);
    // Compared member by member. A written history has the flag of a process on
    // each of its invoke lines.
    let value = |line: &str| -> serde_json::Value {
        let mut value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        value
            .as_object_mut()
            .expect("a line is an object")
            .remove("foreign");
        value
    };
    assert!(once.lines().map(value).eq(ALL.lines().map(value)), "{once}");
}

fn error(text: &str) -> String {
    match read(text.as_bytes()) {
        Ok(_) => "read".into(),
        Err(error) => error.to_string(),
    }
}

const INVOKE: &str = r#"{"time":5,"process":"r0","op":1,"type":"invoke","f":"append"}"#;

#[test]
fn malformed_lines_are_reported_with_their_number() {
    let then = |line: &str| error(&format!("{INVOKE}\n{line}\n"));
    let cases = [
        (error(""), "line 1: the history ends without a final line"),
        (
            error(INVOKE),
            "line 2: the history ends without a final line",
        ),
        (
            then(r#"{"time":4,"type":"loss","hashes":[]}"#),
            "line 2: time goes back from 5 to 4",
        ),
        (then(INVOKE), "line 2: op 1 was invoked before"),
        (
            then(r#"{"time":6,"process":"r0","op":2,"type":"fail"}"#),
            "line 2: op 2 ends here but was never invoked",
        ),
        (
            then(r#"{"time":6,"process":"r1","op":1,"type":"fail"}"#),
            "line 2: op 1 was invoked by r0 but ends in r1",
        ),
        (
            then(r#"{"time":6,"process":"r0","op":1,"type":"ok","value":{"hashes":[]}}"#),
            "line 2: is not a line of a history: missing field `sequence`",
        ),
        (
            then(r#"{"time":6,"process":"r0","op":1,"type":"ok"}"#),
            "line 2: a line of type ok needs \"value\"",
        ),
        (
            then(r#"{"time":6,"process":"r0","op":2,"type":"invoke","f":"prune"}"#),
            "line 2: is not a line of a history: unknown variant `prune`",
        ),
        (
            then(r#"{"time":6,"type":"start"}"#),
            "line 2: type is invoke, ok, fail",
        ),
        (
            then(r#"{"time":-6,"type":"loss"}"#),
            "line 2: is not a line of a history: invalid value",
        ),
        (
            then(r#"{"type":"final","tokens":{"t":"a","t":"b"}}"#),
            "line 2: is not a line of a history: a token is named twice",
        ),
        (
            then(r#"{"time":18446744073709551615,"type":"loss"}"#),
            "line 2: a time of 18446744073709551615 is too large",
        ),
        (
            then("not JSON"),
            "line 2: is not a line of a history: expected",
        ),
        (
            then(r#"{"type":"final"}"#),
            "line 2: a final line needs \"chain\", \"tokens\" or both",
        ),
        (
            then("{\"type\":\"final\",\"chain\":[]}\n{\"type\":\"final\",\"chain\":[]}"),
            "line 3: a line follows the final line",
        ),
        (
            error(&format!(
                "{INVOKE}\n{{\"type\":\"final\",\"chain\":[{{\"op\":1,"
            )),
            "line 2: is cut off",
        ),
    ];
    for (said, expected) in cases {
        assert!(
            said.starts_with(expected),
            "said {said:?}, expected {expected:?}"
        );
        assert!(said.contains("; "), "no next step in {said:?}");
    }
    let twice = r#"{"time":6,"process":"r0","op":1,"type":"fail"}"#;
    let twice = error(&format!("{INVOKE}\n{twice}\n{twice}\n"));
    assert!(twice.starts_with("line 3: op 1 ended before"), "{twice}");
    assert!(matches!(
        read(&b"{\"time\":1,\xff\n"[..]).unwrap_err(),
        ReadError::Line { line: 1, .. }
    ));
}

#[test]
fn blank_lines_and_unknown_members_are_skipped() {
    let text = "\n{\"type\":\"final\",\"chain\":[],\"host\":{\"a\":[1]}}\r\n\n";
    assert!(read(text.as_bytes()).unwrap().final_state().is_some());
}

#[test]
fn a_recording_keeps_the_order_of_calls_at_one_time() {
    let mut recorder = Recorder::new();
    let first = recorder
        .invoke(100, "r0", Function::Append, Some("e1"))
        .unwrap();
    let appended = |sequence, hash: &'static str| {
        Outcome::Appended(Appended {
            sequence,
            event_hash: hash.into(),
            durability: Some(Durability::Memory),
        })
    };
    recorder.end(100, first, appended(1, "a"), None).unwrap();
    let second = recorder
        .invoke_as(100, "js", Function::ReadChain, None, true)
        .unwrap();
    let wrong = recorder.end(100, second, appended(2, "b"), None);
    assert!(matches!(wrong, Err(Malformed::WrongAnswer { .. })));
    let hashes = vec!["a".into()];
    let read = Outcome::Chain(ChainRead { hashes });
    recorder.end(100, second, read, None).unwrap();
    let loss = Loss {
        fault: "failover".into(),
        hashes: vec!["a".into()],
        ..Loss::default()
    };
    recorder.loss(100, loss).unwrap();
    let seen = Seen::Record {
        sequence: 1,
        event_hash: "a".into(),
    };
    recorder.rollback(90, "r0", seen).unwrap();
    let entry = ChainEntry {
        op: Some(first),
        sequence: 1,
        previous_hash: None,
        event_hash: "a".into(),
        audit: None,
    };
    let state = FinalState {
        chain: Some(vec![entry]),
        ..FinalState::default()
    };
    recorder.final_state(state).unwrap();
    assert_eq!(
        recorder.invoke(200, "r0", Function::Append, None),
        Err(Malformed::AfterFinal)
    );
    let history = recorder.into_history();
    let [append, read] = history.operations() else {
        panic!("two operations")
    };
    assert!(
        append.end < read.start,
        "an end and the next invoke at one time stay in order"
    );
    assert!(history.is_foreign(read.process) && !history.is_foreign(append.process));
    assert_eq!(
        text_of(&history),
        text_of(&haechi_history::read(text_of(&history).as_bytes()).unwrap())
    );
}

#[test]
fn reads_share_common_prefixes() {
    let mut text = String::new();
    for op in 1..=300 {
        let hashes: Vec<String> = (0..op).map(|n| format!("\"h{n}\"")).collect();
        let start = format!("{{\"time\":{op},\"process\":\"r0\",\"op\":{op}");
        text += &format!("{start},\"type\":\"invoke\",\"f\":\"read_chain\"}}\n");
        let value = format!("{{\"hashes\":[{}]}}", hashes.join(","));
        text += &format!("{start},\"type\":\"ok\",\"value\":{value}}}\n");
    }
    text += "{\"type\":\"final\",\"chain\":[]}\n";
    let history = read(text.as_bytes()).unwrap();
    assert_eq!(
        history.paths().count(),
        301,
        "45,150 hashes in 300 nodes and the root"
    );
    let Outcome::Chain(path) = history.operations()[9].outcome else {
        panic!("a read")
    };
    let hashes = history.paths().hashes(path);
    let hashes: Vec<&str> = hashes.into_iter().map(|hash| history.text(hash)).collect();
    assert_eq!(
        hashes,
        ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9"]
    );
}
