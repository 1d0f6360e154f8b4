//! Which strings may name a znode.
//!
//! Two rules exist, and requests apply them at different points of their precedence: the cheap
//! one, [`parent_of_new`] and [`parent_of_old`], only finds a parent to look up; the full one,
//! [`validate`], judges every component of the final name. A path that breaks only the full rules
//! can therefore be answered "no such parent" first, as clients see it from Apache.
//!
//! Facts: ZooKeeper `PathUtils.validatePath`, `PrepRequestProcessor.validatePathForCreate`,
//! `getParentPathAndValidate`. Java counts UTF-16 units, so every character beyond the basic plane
//! is a pair of surrogates and forbidden with them.

use menagerie_wire::ErrorCode;

/// The root as clients write it; "" names it too, as the parent of "/a".
pub const ROOT: &str = "/";
/// Where the server keeps what is about itself.
pub const ZOOKEEPER: &str = "/zookeeper";
/// Limits and usage, mirrored by path below this node.
pub const QUOTA: &str = "/zookeeper/quota";
/// The ensemble's configuration as clients may read it.
pub const CONFIG: &str = "/zookeeper/config";

/// The nodes that every tree has and nobody may delete.
pub fn is_permanent(path: &str) -> bool {
    matches!(path, ROOT | ZOOKEEPER | QUOTA | CONFIG)
}

/// The parent to look up before a create. "" is the root.
pub fn parent_of_new(path: &str) -> Result<&str, ErrorCode> {
    let slash = last_slash(path).ok_or(ErrorCode::BadArguments)?;
    if path.as_bytes().contains(&0) { Err(ErrorCode::BadArguments) } else { Ok(&path[..slash]) }
}

/// The parent to look up before a delete, which also refuses the permanent nodes.
pub fn parent_of_old(path: &str) -> Result<&str, ErrorCode> {
    let parent = parent_of_new(path)?;
    if is_permanent(path) { Err(ErrorCode::BadArguments) } else { Ok(parent) }
}

/// The parent of a path that is known to be a valid one. "" is the root.
pub fn parent(path: &str) -> &str {
    last_slash(path).map_or("", |slash| &path[..slash])
}

/// The name behind the last slash; of the root, and of what has no slash, none.
pub fn name(path: &str) -> &str {
    last_slash(path).map_or("", |slash| &path[slash + 1..])
}

/// Byte by byte: names are short, and what the library searches with is made for long texts.
pub(crate) fn last_slash(path: &str) -> Option<usize> {
    path.bytes().rposition(|byte| byte == b'/')
}

/// The names of a path that began with a slash, which is taken off.
fn names(below: &str) -> impl Iterator<Item = &[u8]> {
    below.as_bytes().split(|byte| *byte == b'/')
}

/// Whether a path names exactly one place below the root: absolute, and no component is empty.
///
/// Older servers allowed characters that [`validate`] does not, and their logs must be read.
pub fn is_canonical(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|below| names(below).all(|name| !name.is_empty()))
}

/// Judges a whole path: absolute, no empty, `.` or `..` component, no forbidden character.
pub fn validate(path: &str) -> Result<(), ErrorCode> {
    let below = path.strip_prefix('/').ok_or(ErrorCode::BadArguments)?;
    let named = below.is_empty() || names(below).all(is_name);
    if named && !has_forbidden_char(path) { Ok(()) } else { Err(ErrorCode::BadArguments) }
}

fn is_name(component: &[u8]) -> bool {
    !matches!(component, b"" | b"." | b"..")
}

fn has_forbidden_char(path: &str) -> bool {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte);
    !path.bytes().all(plain) && path.chars().any(is_forbidden)
}

fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_paths_are_taken() {
        for path in ["/", "/a", "/a/b", "/...", "/.x", "/x.", "/a b", "/\u{a0}", "/日本", "/é"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn invalid_paths_are_bad_arguments() {
        let shapes = ["", "a", "a/b", "//", "/a/", "/a//b", "//a", "/.", "/..", "/a/./b", "/../a"];
        let chars = ["/\0", "/\x1f", "/\x7f", "/\u{9f}", "/\u{e000}", "/\u{f8ff}", "/\u{fff0}"];
        for path in shapes.into_iter().chain(chars).chain(["/\u{fffd}", "/\u{ffff}", "/😀"]) {
            assert_eq!(validate(path), Err(ErrorCode::BadArguments), "{path:?}");
        }
    }

    #[test]
    fn a_parent_is_what_stands_before_the_last_slash() {
        let check = |path, expect| assert_eq!(parent_of_new(path), expect, "{path:?}");
        check("/a", Ok(""));
        check("/", Ok(""));
        check("/a/b", Ok("/a"));
        check("/a/", Ok("/a"));
        check("//", Ok("/"));
        check("/a//b", Ok("/a/"));
        check("a/b", Ok("a"));
        check("a", Err(ErrorCode::BadArguments));
        check("", Err(ErrorCode::BadArguments));
        check("/a\0/b", Err(ErrorCode::BadArguments));
    }

    #[test]
    fn a_canonical_path_may_have_odd_characters_but_no_odd_shape() {
        for path in ["/a", "/a/b", "/.", "/\u{1}"] {
            assert!(is_canonical(path), "{path:?}");
        }
        for path in ["", "/", "a", "//", "/a/", "/a//b", "//a"] {
            assert!(!is_canonical(path), "{path:?}");
        }
    }

    #[test]
    fn permanent_nodes_have_no_parent_to_be_deleted_from() {
        for path in [ROOT, ZOOKEEPER, QUOTA, CONFIG] {
            assert_eq!(parent_of_old(path), Err(ErrorCode::BadArguments));
        }
        assert_eq!(parent_of_old("/zookeeper/x"), Ok("/zookeeper"));
    }
}
