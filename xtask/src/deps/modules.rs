//! The dependencies between the top-level modules of a crate, from its sources.
//!
//! Files are found as the compiler finds them, from `lib.rs` by `mod name;`.
//! Items behind `#[cfg(test)]` are skipped; comments and strings are not
//! tokens. Re-exports of `lib.rs` count as their module; its own items as the
//! module `lib`.

use std::{collections::BTreeMap, fs, iter::Peekable, path::Path};

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree, token_stream::IntoIter};

use super::Found;

type Tokens = Peekable<IntoIter>;

/// The name for `lib.rs` itself.
const LIB: &str = "lib";

/// Reads the crate whose `lib.rs` is in a directory.
pub(super) fn read(root: &str) -> Result<Found, String> {
    let mut reader = Reader::default();
    reader.file(Path::new(root), &[])?;
    let mut found = Found::new();
    for module in &reader.modules {
        found.entry(module.clone()).or_default();
    }
    for (from, name, place) in reader.uses {
        let to = if reader.modules.contains(&name) {
            name
        } else {
            reader
                .exported
                .get(&name)
                .map_or(LIB, |module| module)
                .to_owned()
        };
        if from != to {
            found.entry(to.clone()).or_default();
            found.entry(from).or_default().entry(to).or_insert(place);
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Reader {
    /// Top-level modules.
    modules: Vec<String>,
    /// The module from which `lib.rs` re-exports each name.
    exported: BTreeMap<String, String>,
    /// The module, the first name after `crate::`, and its location.
    uses: Vec<(String, String, String)>,
    /// The current file.
    file: String,
}

impl Reader {
    /// Reads the file of a module, and those of the modules that it declares.
    fn file(&mut self, root: &Path, module: &[String]) -> Result<(), String> {
        let base = root.join(module.iter().collect::<std::path::PathBuf>());
        let candidates = match module {
            [] => vec![base.join("lib.rs")],
            _ => vec![base.with_extension("rs"), base.join("mod.rs")],
        };
        let path = candidates.into_iter().find(|path| path.exists());
        let path = path.ok_or_else(|| format!("{}: no file has this module", base.display()))?;
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        let tokens: TokenStream = text.parse().map_err(|error| format!("{name}: {error}"))?;
        let outer = std::mem::replace(&mut self.file, name);
        for declared in self.walk(tokens, module) {
            self.file(root, &declared)?;
        }
        self.file = outer;
        Ok(())
    }

    /// Records the dependencies in the tokens of a module; returns the modules
    /// that have a file of their own.
    fn walk(&mut self, tokens: TokenStream, module: &[String]) -> Vec<Vec<String>> {
        let mut declared = Vec::new();
        let mut tokens = tokens.into_iter().peekable();
        let mut public = false;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(TokenTree::Group(attribute)) = tokens.peek() {
                        let test = is_test(&attribute.stream());
                        tokens.next();
                        if test {
                            skip_item(&mut tokens);
                        }
                    }
                }
                TokenTree::Group(group) => {
                    public &= group.delimiter() != Delimiter::Brace;
                    declared.extend(self.walk(group.stream(), module));
                }
                TokenTree::Ident(ident) if ident == "pub" => public = true,
                TokenTree::Punct(punct) if punct.as_char() == ';' => public = false,
                TokenTree::Ident(ident) if ident == "mod" => {
                    let Some(TokenTree::Ident(name)) = tokens.next() else {
                        continue;
                    };
                    let inner = [module, &[name.to_string()]].concat();
                    if module.is_empty() {
                        self.modules.push(name.to_string());
                    }
                    match tokens.next() {
                        Some(TokenTree::Group(body)) => {
                            declared.extend(self.walk(body.stream(), &inner));
                        }
                        _ => declared.push(inner),
                    }
                    public = false;
                }
                TokenTree::Ident(ident) if ident == "use" && module.is_empty() => {
                    if let Some(TokenTree::Ident(first)) = tokens.peek().cloned()
                        && first != "crate"
                    {
                        let rest: TokenStream = std::iter::from_fn(|| {
                            tokens.next_if(
                                |token| !matches!(token, TokenTree::Punct(p) if p.as_char() == ';'),
                            )
                        })
                        .collect();
                        if public {
                            self.export(&first, rest);
                        } else {
                            self.record(module, &first);
                        }
                    }
                }
                TokenTree::Ident(ident)
                    if (ident == "crate" || ident == "super") && separator(&mut tokens) =>
                {
                    let base = if ident == "crate" {
                        &[]
                    } else {
                        parent(module)
                    };
                    self.path(&mut tokens, module, base);
                }
                _ => {}
            }
        }
        declared
    }

    /// Records the dependency of a path that continues a base module.
    fn path(&mut self, tokens: &mut Tokens, module: &[String], base: &[String]) {
        match tokens.next() {
            Some(TokenTree::Ident(ident)) if ident == "super" && separator(tokens) => {
                self.path(tokens, module, parent(base));
            }
            Some(TokenTree::Ident(ident)) if base.is_empty() => self.record(module, &ident),
            Some(TokenTree::Group(group)) => {
                let mut branches = group.stream().into_iter().peekable();
                while branches.peek().is_some() {
                    self.path(&mut branches, module, base);
                    while branches.next().is_some_and(
                        |token| !matches!(token, TokenTree::Punct(p) if p.as_char() == ','),
                    ) {}
                }
            }
            _ => {}
        }
    }

    fn record(&mut self, module: &[String], name: &Ident) {
        let from = module.first().map_or(LIB, |top| top);
        let place = format!("{}:{}", self.file, name.span().start().line);
        self.uses.push((from.to_owned(), name.to_string(), place));
    }

    /// Records every name of `pub use module::{…}` in `lib.rs`; additional
    /// names do no harm.
    fn export(&mut self, module: &Ident, rest: TokenStream) {
        for token in rest {
            match token {
                TokenTree::Ident(name) => {
                    self.exported.insert(name.to_string(), module.to_string());
                }
                TokenTree::Group(group) => self.export(module, group.stream()),
                _ => {}
            }
        }
    }
}

/// Whether an attribute is `cfg(test)` or `cfg(all(test, …))`.
fn is_test(attribute: &TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// Skips an item, up to its body or semicolon.
fn skip_item(tokens: &mut Tokens) {
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            _ => {}
        }
    }
}

/// Consumes `::`, if it is next.
fn separator(tokens: &mut Tokens) -> bool {
    let colon = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
    tokens.next_if(colon).is_some() && tokens.next_if(colon).is_some()
}

fn parent(module: &[String]) -> &[String] {
    module.split_last().map_or(&[], |(_, parent)| parent)
}
