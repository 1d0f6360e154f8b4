//! A state on its way to a learner, as Apache writes it behind a SNAP packet. The signature that
//! ends it is the link's to add.

use menagerie_engine::snapshot::jute_stream;
use menagerie_engine::tree::Root;

use crate::peer::pieces::{LinkGone, PieceWriter};

/// Writes the state to the link: `Effect::SendSnapshot`; the link says when it has left. Blocks
/// while the link has enough. The root is let go at the end, or as soon as the link is gone.
///
/// # Errors
/// When the link has ended, of which its own side tells.
pub fn send_snapshot(root: Root, writer: PieceWriter) -> Result<(), LinkGone> {
    jute_stream::write(root.view(), |piece| writer.write(piece))?;
    // What frees a large tree's blocks should not wait for a slow receiver's last bytes.
    drop(root);
    writer.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use menagerie_engine::tree::{NewNode, Owner, Tree};
    use menagerie_wire::Zxid;
    use menagerie_wire::data::Acl;

    use super::*;
    use crate::peer::pieces::pieces;

    #[test]
    fn a_learner_that_is_gone_is_given_up() {
        let mut tree = Tree::new();
        let (acl, data) = ([Acl::world(31)], [7; 64 << 10]);
        for at in 0..100 {
            let (owner, czxid) = (Owner::None, Zxid(1));
            let node = NewNode { data: Some(&data), acl: &acl, owner, czxid, ctime_ms: 0 };
            tree.insert(&format!("/node-{at}"), node, 1, czxid).unwrap();
        }
        let (writer, link) = pieces();
        let root = tree.seal();
        // It waits for room that never comes, since nobody takes anything.
        let sending = thread::spawn(move || send_snapshot(root, writer));
        drop(link);
        assert_eq!(sending.join().unwrap(), Err(LinkGone));
    }
}
