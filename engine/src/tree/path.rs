//! Paths as the tree reads them: canonical, absolute, split at slashes.
//!
//! What a client may write is judged elsewhere; here a path that is not canonical simply names no
//! node. The root is `/` or the empty string (as in Apache's snapshots).

/// Parent path and own name, or `None` for the root and for what is no absolute path.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    if name.is_empty() || !path.starts_with('/') {
        return None;
    }
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_splits_into_parent_and_name() {
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        for path in ["", "/", "a", "/a/", "a/b"] {
            assert_eq!(split(path), None, "{path}");
        }
    }
}
