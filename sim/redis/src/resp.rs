//! Parses commands as clients send them: arrays of bulk strings, and inline
//! commands as typed into telnet.

use bytes::{Buf, Bytes, BytesMut};

const MAX_ARGUMENTS: i64 = 1024 * 1024;
const MAX_BULK: i64 = 512 * 1024 * 1024;
const MAX_INLINE: usize = 64 * 1024;

/// A command: its name and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(Vec<Bytes>);

impl Command {
    /// A command of these words, the name first. `None` when there is no word.
    pub fn new<W: Into<Bytes>>(words: impl IntoIterator<Item = W>) -> Option<Command> {
        Command::from_words(words.into_iter().map(Into::into).collect())
    }

    pub(super) fn from_words(words: Vec<Bytes>) -> Option<Command> {
        (!words.is_empty()).then_some(Command(words))
    }

    /// The name as it was sent: in either case, and not always UTF-8.
    pub fn name(&self) -> &Bytes {
        &self.0[0]
    }

    /// Whether the name is `name`, in either case.
    pub fn is(&self, name: &str) -> bool {
        self.0[0].eq_ignore_ascii_case(name.as_bytes())
    }

    /// Name and arguments.
    pub fn words(&self) -> &[Bytes] {
        &self.0
    }
}

/// Takes the next command off the front of `input`; `None` if it is not complete yet.
///
/// The words share the allocation of `input`.
///
/// # Errors
/// The text of a protocol error, to be replied before the connection is closed: the stream cannot be read any further.
pub fn next_command(input: &mut BytesMut) -> Result<Option<Command>, String> {
    loop {
        match input.first() {
            None => return Ok(None),
            Some(b'*') => {}
            Some(_) => match inline(input)? {
                Inline::Partial => return Ok(None),
                Inline::Blank => continue,
                Inline::Words(command) => return Ok(Some(command)),
            },
        }
        let mut spans: [(usize, usize); 16] = [(0, 0); 16];
        let mut more: Vec<(usize, usize)> = Vec::new();
        let Some((count, mut at)) = number(input, 1, "invalid multibulk length")? else {
            return Ok(None);
        };
        if count > MAX_ARGUMENTS {
            return Err("ERR Protocol error: invalid multibulk length".to_owned());
        }
        let count = usize::try_from(count).unwrap_or(0);
        for index in 0..count {
            match input.get(at) {
                None => return Ok(None),
                Some(b'$') => {}
                Some(other) => {
                    return Err(format!(
                        "ERR Protocol error: expected '$', got '{}'",
                        char::from(*other)
                    ));
                }
            }
            let Some((length, start)) = number(input, at + 1, "invalid bulk length")? else {
                return Ok(None);
            };
            let length = match usize::try_from(length) {
                Ok(length) if i64::try_from(length).is_ok_and(|length| length <= MAX_BULK) => {
                    length
                }
                _ => return Err("ERR Protocol error: invalid bulk length".to_owned()),
            };
            if input.len() < start + length + 2 {
                input.reserve(start + length + 2 - input.len());
                return Ok(None);
            }
            match spans.get_mut(index) {
                Some(span) => *span = (start, length),
                None => more.push((start, length)),
            }
            at = start + length + 2;
        }
        let text = input.split_to(at).freeze();
        let few = &spans[..count.min(spans.len())];
        let words = few
            .iter()
            .chain(&more)
            .map(|(start, length)| text.slice(*start..start + length))
            .collect();
        // `*0` and `*-1` are skipped.
        if let Some(command) = Command::from_words(words) {
            return Ok(Some(command));
        }
    }
}

/// The number between `from` and the end of the line, and where the next line begins.
fn number(input: &[u8], from: usize, what: &str) -> Result<Option<(i64, usize)>, String> {
    let rest = &input[from.min(input.len())..];
    let Some(length) = rest.iter().position(|byte| *byte == b'\r') else {
        if rest.len() > MAX_INLINE {
            return Err("ERR Protocol error: too big mbulk count string".to_owned());
        }
        return Ok(None);
    };
    if rest.len() < length + 2 {
        return Ok(None);
    }
    match super::number::integer(&rest[..length]) {
        Some(value) => Ok(Some((value, from + length + 2))),
        None => Err(format!("ERR Protocol error: {what}")),
    }
}

enum Inline {
    Partial,
    Blank,
    Words(Command),
}

fn inline(input: &mut BytesMut) -> Result<Inline, String> {
    let Some(length) = input.iter().position(|byte| *byte == b'\n') else {
        if input.len() > MAX_INLINE {
            return Err("ERR Protocol error: too big inline request".to_owned());
        }
        return Ok(Inline::Partial);
    };
    let line = input.split_to(length).freeze();
    input.advance(1);
    let words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(Bytes::copy_from_slice)
        .collect();
    Ok(Command::from_words(words).map_or(Inline::Blank, Inline::Words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<&[u8]> {
        command.words().iter().map(AsRef::as_ref).collect()
    }

    #[test]
    fn a_command_arrives_byte_by_byte() {
        let whole = b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n";
        let mut input = BytesMut::new();
        for (index, byte) in whole.iter().enumerate() {
            input.extend_from_slice(&[*byte]);
            let command = next_command(&mut input).unwrap();
            assert_eq!(command.is_some(), index + 1 == whole.len());
            if let Some(command) = command {
                assert_eq!(words(&command), [b"GET".as_ref(), b"\r\n"]);
            }
        }
    }

    #[test]
    fn pipelined_inline_and_empty_commands() {
        let mut input = BytesMut::from("*0\r\n\r\nPING  a\r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!(
            words(&next_command(&mut input).unwrap().unwrap()),
            [b"PING".as_ref(), b"a"]
        );
        assert_eq!(
            words(&next_command(&mut input).unwrap().unwrap()),
            [b"PING".as_ref()]
        );
        assert_eq!(next_command(&mut input), Ok(None));
    }

    #[test]
    fn more_words_than_the_fixed_spans_hold() {
        let mut input = BytesMut::from("*40\r\n");
        (0..40).for_each(|n| input.extend_from_slice(format!("$2\r\n{n:02}\r\n").as_bytes()));
        let command = next_command(&mut input).unwrap().unwrap();
        assert_eq!(command.words().len(), 40);
        assert_eq!(command.words()[39], "39");
    }

    #[test]
    fn protocol_errors_have_texts() {
        assert!(
            next_command(&mut BytesMut::from("*1\r\n!3\r\n"))
                .unwrap_err()
                .contains("expected '$', got '!'")
        );
        assert!(
            next_command(&mut BytesMut::from("*x\r\n"))
                .unwrap_err()
                .contains("invalid multibulk length")
        );
        assert!(
            next_command(&mut BytesMut::from("*1\r\n$-5\r\n"))
                .unwrap_err()
                .contains("invalid bulk length")
        );
    }
}
