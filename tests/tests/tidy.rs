//! How files look: the habits that neither rustfmt nor clippy keeps.
//!
//! Every Rust file opens with a module header, lines and functions have a length, nothing is left
//! over from work in progress, and no test is switched off or bound to somebody's machine.

use menagerie_tests::checkout;
use std::path::Path;

const LINE_CHARS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;

/// Written in two halves, so that this file does not contain them.
const LEFTOVERS: [(&str, &str); 8] = [
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("FIX", "ME"),
    ("XX", "X"),
    ("#[ign", "ore"),
    ("/ho", "me/"),
    ("/ro", "ot/"),
];

#[test]
fn every_rust_file_is_tidy() {
    let mut faults = Vec::new();
    for path in checkout::files_with_extension("rs") {
        faults.extend(rust_faults(&path, &checkout::read(&path)));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn scripts_and_documents_have_no_leftovers() {
    let mut faults = Vec::new();
    for extension in ["", "sh", "py", "js", "go", "c", "java", "md", "toml"] {
        for path in checkout::files_with_extension(extension) {
            faults.extend(leftovers(&path, &checkout::read(&path)));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn rust_faults(path: &Path, text: &str) -> Vec<String> {
    let mut faults = leftovers(path, text);
    if !text.starts_with("//! ") {
        faults.push(format!("{}:1: does not open with a module header (`//!`)", path.display()));
    }
    for (index, line) in text.lines().enumerate() {
        if line.chars().count() > LINE_CHARS_MAX {
            let fault = format!("line longer than {LINE_CHARS_MAX}");
            faults.push(format!("{}:{}: {fault}", path.display(), index + 1));
        }
    }
    for (line, length) in function_lengths(text) {
        if length > FUNCTION_LINES_MAX {
            let fault = format!("function of {length} lines, at most {FUNCTION_LINES_MAX}");
            faults.push(format!("{}:{line}: {fault}", path.display()));
        }
    }
    faults
}

fn leftovers(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (one, other) in LEFTOVERS {
            let leftover = format!("{one}{other}");
            // A longer run of one letter is the pattern of a temporary name.
            let longer = format!("{leftover}{}", &one[..1]);
            if line.replace(&longer, "").contains(&leftover) {
                faults.push(format!("{}:{}: `{leftover}`", path.display(), index + 1));
            }
        }
    }
    faults
}

/// First line and length of every function. rustfmt puts the brace that ends a function in a line
/// of its own, indented like the line that begins it: that is enough to find it.
fn function_lengths(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let begins = |line: &str| {
        let code = line.trim_start();
        let words = code.split(['(', '<']).next().unwrap_or_default();
        !code.starts_with("//") && words.split(' ').rev().nth(1) == Some("fn")
    };
    let mut lengths = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
        let ends = |later: &&str| {
            indent(later) == indent(line)
                && (later.trim() == "}" || (later.ends_with(';') && !later.contains('{')))
        };
        let one_line = line.ends_with('}') || line.ends_with(';');
        let rest = if one_line { Some(0) } else { lines[index..].iter().position(ends) };
        lengths.push((index + 1, rest.map_or(1, |offset| offset + 1)));
    }
    lengths
}

#[test]
fn function_lengths_are_counted() {
    let text = "\
impl X {
    pub fn one(&self) -> u8 {
        1
    }

    fn two() {}
}
async fn long<T>(
    a: T,
) where
    T: Y,
{
    if a {
    }
}
trait Z {
    fn declared(&self);
}
";
    assert_eq!(function_lengths(text), [(2, 3), (6, 1), (8, 8), (17, 1)]);
}
