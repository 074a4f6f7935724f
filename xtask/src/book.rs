//! `cargo xtask book`: the pages of docs, README and others, as HTML in target/book.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use crate::{Outcome, process::succeeds};

/// Where docs/SUMMARY.md, copied to the root, is.
const SOURCE: &str = "target/book/src";

/// The book's settings; its folders are relative to target/book.
const SETTINGS: &str = "[book]\ntitle = \"haechi-store-redis\"\nsrc = \"src\"\n\n\
     [build]\nbuild-dir = \"html\"\nuse-default-preprocessors = false\n";

/// Runs the command.
pub(crate) fn run() -> Outcome {
    if !succeeds(Command::new("mdbook").arg("--version")) {
        println!("mdbook is missing: cargo install --locked mdbook");
        return Outcome::NotRun;
    }
    match build() {
        Ok(built) => built.into(),
        Err(error) => {
            println!("error: {error}");
            Outcome::NotRun
        }
    }
}

fn build() -> io::Result<bool> {
    // What is left of another build, or nothing.
    let _ = fs::remove_dir_all(SOURCE);
    // All that links may lead to, at its place.
    let files = Command::new("git")
        .arg("ls-files")
        .stderr(Stdio::inherit())
        .output()?;
    for file in String::from_utf8_lossy(&files.stdout).lines() {
        let copy = Path::new(SOURCE).join(file);
        if let Some(folder) = copy.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(file, copy)?;
    }
    let summary = fs::read_to_string("docs/SUMMARY.md")?;
    fs::write(Path::new(SOURCE).join("SUMMARY.md"), from_root(&summary))?;
    fs::write("target/book/book.toml", SETTINGS)?;
    let built = Command::new("mdbook")
        .args(["build", "target/book"])
        .status()?;
    println!("target/book/html/index.html");
    Ok(built.success())
}

/// The links of docs/SUMMARY.md as they are from the folder above.
fn from_root(summary: &str) -> String {
    summary.replace("](", "](docs/").replace("](docs/../", "](")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The links of a page that lead to files of this repository.
    fn links(page: &str) -> impl Iterator<Item = &str> {
        let links = page.split("](").skip(1);
        let links = links.filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
        links.filter(|link| !link.contains("://") && !link.contains(char::is_whitespace))
    }

    /// How GitHub and mdbook name a heading.
    fn anchor(heading: &str) -> String {
        let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        text.chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    }

    fn has_anchor(page: &str, name: &str) -> bool {
        let mut headings = page.lines().filter(|line| line.starts_with('#'));
        headings.any(|heading| anchor(heading) == name)
            || page.contains(&format!("<a id=\"{name}\">"))
    }

    /// Would catch a link to a page or a heading that is not there (any more), and a page of
    /// docs that the book leaves out.
    #[test]
    fn links_lead_somewhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let git = |pattern: &str| {
            let mut command = Command::new("git");
            command.args([
                "ls-files",
                "--cached",
                "--others",
                "--exclude-standard",
                pattern,
            ]);
            let output = command.current_dir(&root).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let summary = fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap();
        let mut wrong = Vec::new();
        for page in git("*.md").lines() {
            let text = fs::read_to_string(root.join(page)).unwrap();
            let folder = root.join(page).parent().map(PathBuf::from).unwrap();
            for link in links(&text) {
                let (path, name) = link.split_once('#').unwrap_or((link, ""));
                let target = match path {
                    "" => root.join(page),
                    path => folder.join(path),
                };
                let is_there = match name {
                    "" => target.exists(),
                    name => fs::read_to_string(target).is_ok_and(|page| has_anchor(&page, name)),
                };
                if !is_there {
                    wrong.push(format!("{page}: {link}"));
                }
            }
            let of_docs = page
                .strip_prefix("docs/")
                .filter(|page| *page != "SUMMARY.md");
            if of_docs.is_some_and(|page| !summary.contains(&format!("]({page})"))) {
                wrong.push(format!("docs/SUMMARY.md lacks {page}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
