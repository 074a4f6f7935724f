//! Faults by the number of the command that they strike, for a server that real clients
//! use: their timing differs from run to run, the order of one client's commands does not.

use serde::{Deserialize, Serialize};

use super::{
    CommandFault, FaultKind, LossFault, ServerFault, Unreadable,
    document::{Format, list},
};

/// The format that this version reads and writes.
const FORMAT: u32 = 1;

/// One fault, and the command that it strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountedFault {
    /// What it is.
    pub kind: FaultKind,
    /// Which of the commands that count, from 1 since the server began.
    pub nth: u64,
    /// Which commands count: `write`, or a command's name; if absent, all that read or write data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How late, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// How many commands of any kind it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<u64>,
    /// How many of the last writes are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loses: Option<u64>,
    /// The error that is replied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The member besides `kind`, `nth` and `of` that a kind of fault has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    None,
    Ms,
    Lasts,
    Loses,
    Error,
}

/// The kinds that a server carries out at a command, and what each of them has.
pub(super) const COUNTED: [(FaultKind, Member); 16] = [
    (command(CommandFault::ResetBeforeExecution), Member::None),
    (command(CommandFault::ResetAfterExecution), Member::None),
    (command(CommandFault::ResetMidReply), Member::None),
    (command(CommandFault::ErrorAfterExecution), Member::Error),
    (command(CommandFault::LateCommand), Member::Ms),
    (command(CommandFault::LateReply), Member::Ms),
    (server(ServerFault::Busy), Member::Lasts),
    (server(ServerFault::Loading), Member::Lasts),
    (server(ServerFault::Readonly), Member::Lasts),
    (server(ServerFault::Oom), Member::Lasts),
    (server(ServerFault::Misconf), Member::Lasts),
    (server(ServerFault::Noperm), Member::Lasts),
    (server(ServerFault::RedisRestart), Member::None),
    (server(ServerFault::ScriptFlush), Member::None),
    (server(ServerFault::ClientsKilled), Member::None),
    (
        FaultKind::LossFault(LossFault::LaggingReplicaPromoted),
        Member::Loses,
    ),
];

const fn command(kind: CommandFault) -> FaultKind {
    FaultKind::CommandFault(kind)
}

const fn server(kind: ServerFault) -> FaultKind {
    FaultKind::ServerFault(kind)
}

/// The faults of a server, in the order in which those that are due at one command strike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedPlan {
    /// The faults.
    pub faults: Vec<CountedFault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "format")]
    _format: u32,
    faults: Vec<CountedFault>,
}

impl CountedPlan {
    /// Reads a plan, and refuses one that cannot be carried out.
    ///
    /// # Errors
    ///
    /// When the text is not a plan, or a fault lacks what its kind needs.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let unreadable = |error: serde_json::Error| Unreadable::plan(error.to_string());
        let Format { format } = serde_json::from_str(text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Unreadable::plan(format!(
                "its format is {format}, and this version reads {FORMAT}"
            )));
        }
        let Written { faults, .. } = serde_json::from_str(text).map_err(unreadable)?;
        for (number, fault) in (1..).zip(&faults) {
            fault.check().map_err(|error| {
                Unreadable::plan(format!("fault {number} ({}): {error}", fault.kind))
            })?;
        }
        Ok(Self { faults })
    }

    /// The text of the file, one fault a line.
    ///
    /// # Errors
    ///
    /// When a member has no JSON form.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let faults: serde_json::Result<_> = self.faults.iter().map(serde_json::to_string).collect();
        let mut text = format!("{{\n  \"format\": {FORMAT},\n");
        list(&mut text, "faults", ['[', ']'], faults?);
        text.push_str("\n}\n");
        Ok(text)
    }
}

impl CountedFault {
    /// Whether this command counts.
    pub(crate) fn counts(&self, command: &redis_sim::Command) -> bool {
        let access = redis_sim::access(command);
        match self.of.as_deref() {
            None => access != redis_sim::Access::None,
            Some("write") => access == redis_sim::Access::Write,
            Some(name) => command.is(name),
        }
    }

    fn check(&self) -> Result<(), String> {
        let Some((_, member)) = COUNTED.iter().find(|(kind, _)| *kind == self.kind) else {
            let known: Vec<_> = COUNTED.iter().map(|(kind, _)| kind.name()).collect();
            return Err(format!("serve cannot do that; it can {}", known.join(", ")));
        };
        if self.nth == 0 {
            return Err("commands are counted from 1; set \"nth\" to 1 or more".to_owned());
        }
        if let Some(of) = &self.of {
            let is_known = of == "write"
                || redis_sim::commands().any(|name| {
                    name.split(' ')
                        .next()
                        .is_some_and(|name| name.eq_ignore_ascii_case(of))
                });
            if !is_known {
                return Err(format!(
                    "{of:?} is no command of the simulated server; name one in \"of\", or \"write\", or leave it out for \
                     all that read or write data"
                ));
            }
        }
        let members = [
            (
                Member::Ms,
                self.ms.is_some(),
                "\"ms\", how late in milliseconds",
            ),
            (
                Member::Lasts,
                self.lasts.is_some_and(|commands| commands > 0),
                "\"lasts\", for how many commands, at least 1",
            ),
            (
                Member::Loses,
                self.loses.is_some(),
                "\"loses\", how many of the last writes are gone",
            ),
            (
                Member::Error,
                self.error.as_deref().is_some_and(|error| {
                    !error.trim().is_empty() && !error.contains(char::is_control)
                }),
                "\"error\", a line that begins with its code: \"ERR upstream timeout\"",
            ),
        ];
        for (kind, is_there, what) in members {
            if kind == *member && !is_there {
                return Err(format!("add {what}"));
            }
        }
        let given = [
            (Member::Ms, self.ms.is_some(), "ms"),
            (Member::Lasts, self.lasts.is_some(), "lasts"),
            (Member::Loses, self.loses.is_some(), "loses"),
            (Member::Error, self.error.is_some(), "error"),
        ];
        match given
            .iter()
            .find(|(kind, is_there, _)| *is_there && kind != member)
        {
            Some((.., name)) => Err(format!("it has no \"{name}\"; leave that out")),
            None => Ok(()),
        }
    }
}
