//! A tree that is not what its leader's is, kept for whoever looks for the reason.
//!
//! It is written as a snapshot into a directory of its own, where no start and no purge looks. The
//! first ones are kept and later ones are not: what goes wrong again and again must not fill the
//! disk, and the first time tells most.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use menagerie_engine::snapshot::{self, Pace};
use menagerie_engine::tree::Root;

use super::{ServerStore, StoreError};

const DIRECTORY: &str = "diverged";
/// Files in that directory.
const KEPT_MAX: usize = 3;

impl ServerStore {
    /// Writes the tree out, unless there are enough already; tells into which directory.
    ///
    /// # Errors
    /// When it could not be written: the server goes on.
    pub fn keep_evidence(&self, root: &Root) -> Result<Option<PathBuf>, StoreError> {
        keep(&self.snapshots.path, root)
    }
}

fn keep(data: &Path, root: &Root) -> Result<Option<PathBuf>, StoreError> {
    let directory = data.join(DIRECTORY);
    let failed_to = |what| move |error| StoreError::Io { what, name: DIRECTORY.to_owned(), error };
    fs::create_dir_all(&directory).map_err(failed_to("create"))?;
    let kept = fs::read_dir(&directory).map_err(failed_to("list"))?.count();
    if kept >= KEPT_MAX {
        return Ok(None);
    }
    snapshot::write(root, &directory, Pace::default(), &AtomicBool::new(false))?;
    Ok(Some(directory))
}

#[cfg(test)]
mod tests {
    use menagerie_engine::recovery::snapshot_file_name;
    use menagerie_engine::tree::Tree;
    use menagerie_wire::Zxid;

    use super::*;

    #[test]
    fn the_first_trees_are_kept_where_no_start_looks() {
        let data = tempfile::tempdir().unwrap();
        let mut tree = Tree::new();
        for zxid in 1..=5 {
            tree.advance(Zxid(zxid));
            let kept = keep(data.path(), &tree.seal()).unwrap();
            assert_eq!(kept.is_some(), zxid <= 3, "{zxid}");
        }
        let directory = data.path().join(DIRECTORY);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
        for zxid in 1..=3 {
            let file = directory.join(snapshot_file_name(Zxid(zxid)));
            let digest = snapshot::load(&file, 1).unwrap().view().digest();
            assert_eq!(digest, Tree::new().view().digest());
        }
    }
}
