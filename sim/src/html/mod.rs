//! HTML pages: the timeline of a run, and the summary of many.
//!
//! A page is one file that loads nothing. Its data are JSON text within it, from
//! which its script makes what is shown, as text nodes only.

mod summary;
mod timeline;

use serde_json::{Value, json};

use crate::{plan::FaultKind, record::parting};

pub(crate) use summary::{Failure, summary};
pub(crate) use timeline::View;

const HEAD: &str = concat!(
    include_str!("head.html"),
    "<style>\n",
    include_str!("page.css"),
    "</style>\n",
    include_str!("body.html"),
    "<script type=\"application/json\" id=\"data\">"
);

const TAIL: &str = concat!(
    "</script>\n<script>\n\"use strict\";\n",
    include_str!("page.js"),
    include_str!("timeline.js"),
    include_str!("details.js"),
    include_str!("summary.js"),
    "show();\n</script>\n</html>\n"
);

/// What stands above the rest of a page.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    /// What the page is about.
    pub(crate) title: String,
    /// The command that made it.
    pub(crate) command: String,
}

/// A page of the given parts.
pub(crate) fn page(heading: &Heading, parts: Vec<(&str, Value)>) -> String {
    let mut data = json!({ "title": heading.title, "command": heading.command });
    for (name, part) in parts {
        data[name] = part;
    }
    // No text of a history can end the element that it is in.
    let data = data.to_string().replace('<', "\\u003c");
    [HEAD, &data, TAIL].concat()
}

/// The page of one run; of several stores under one schedule, one above the other.
pub(crate) fn timeline(heading: &Heading, views: &[View<'_>]) -> String {
    let parting = match views {
        [one, other] => parting(one.trace(), other.trace()),
        _ => None,
    };
    let views: Vec<Value> = views.iter().map(View::value).collect();
    let parts = vec![("views", views.into()), ("parting", parting.into())];
    page(heading, parts)
}

/// A kind of fault.
pub(crate) fn kind(kind: FaultKind) -> Value {
    json!({ "kind": kind.name(), "class": <&str>::from(kind.class()) })
}

#[cfg(test)]
mod tests {
    use haechi_history::{FinalState, Function, Outcome, Recorder};

    use super::*;

    /// Catches text of a history that becomes a part of the page.
    #[test]
    fn no_text_leaves_the_data() {
        let hostile = "</script><script>alert(1)</script><!--\u{2028}\"'&";
        let mut recorder = Recorder::new();
        let op = recorder.invoke(0, hostile, Function::Append, Some(hostile));
        let failed = Outcome::Failed(None);
        recorder.end(9, op.unwrap(), failed, Some(hostile)).unwrap();
        recorder.final_state(FinalState::default()).unwrap();
        let history = recorder.into_history();
        let heading = Heading {
            title: hostile.to_owned(),
            command: hostile.to_owned(),
        };
        let page = timeline(&heading, &[View::of(hostile, &history, &[])]);
        let data = page
            .strip_prefix(HEAD)
            .and_then(|page| page.strip_suffix(TAIL));
        let data = data.unwrap();
        assert!(!data.contains('<'), "{data}");
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["title"], hostile);
        assert_eq!(data["views"][0]["ops"][0]["event"], hostile);
        assert_eq!(data["views"][0]["ops"][0]["error"], hostile);
    }

    /// Catches a page that loads something, or that takes text for markup.
    #[test]
    fn a_page_loads_nothing_and_writes_no_markup() {
        for forbidden in [
            "http://",
            "https://",
            "src=",
            "@import",
            "url(",
            "innerHTML",
            "eval(",
        ] {
            assert!(
                !HEAD.contains(forbidden) && !TAIL.contains(forbidden),
                "{forbidden}"
            );
        }
    }
}
