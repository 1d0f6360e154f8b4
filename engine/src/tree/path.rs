//! Paths as the tree reads them: canonical, absolute, split at slashes.
//!
//! What a client may write is judged elsewhere; here a path that is not canonical simply names no
//! node. The root is `/` or the empty string (as in Apache's snapshots).
#![deny(unsafe_code)]

use crate::path::last_slash;

/// Parent path and own name, or `None` for the root and for what is no absolute path.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let slash = last_slash(path)?;
    let (parent, name) = (&path[..slash], &path[slash + 1..]);
    if name.is_empty() || !path.starts_with('/') || parent.ends_with('/') {
        return None;
    }
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

/// The names from the root down to `path`; `None` when it is no absolute path.
pub(super) fn names(path: &str) -> Option<impl Iterator<Item = &[u8]>> {
    let below = if path.is_empty() { path } else { path.strip_prefix('/')? };
    let mut names = below.as_bytes().split(|byte| *byte == b'/');
    if below.is_empty() {
        // The root: what is split from nothing is one empty name.
        names.next();
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_splits_into_parent_and_name() {
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        for path in ["", "/", "a", "/a/", "a/b", "//a"] {
            assert_eq!(split(path), None, "{path}");
        }
    }

    #[test]
    fn an_uncanonical_path_has_a_name_that_no_node_has() {
        let check = |path, expect: &[&str]| {
            let expect: Vec<&[u8]> = expect.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(names(path).map(|names| names.collect::<Vec<_>>()), Some(expect), "{path}");
        };
        check("", &[]);
        check("/", &[]);
        check("/a/b", &["a", "b"]);
        check("/a/", &["a", ""]);
        check("//a", &["", "a"]);
        assert!(names("a").is_none());
    }
}
