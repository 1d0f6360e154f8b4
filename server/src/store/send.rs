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
