//! A plot as PNG, from its SVG. The font comes along, so that the text is there, and the same, on
//! every machine.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Pixels for each of the SVG's: sharp on paper and on dense screens.
pub(super) const SCALE: f32 = 2.0;

pub(super) struct Painter {
    options: Options<'static>,
}

impl Painter {
    pub(super) fn new() -> Self {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(dejavu::sans::regular().to_vec());
        fonts.load_font_data(dejavu::sans::bold().to_vec());
        Self { options: Options { fontdb: Arc::new(fonts), ..Options::default() } }
    }

    pub(super) fn png(&self, svg: &str) -> Result<Vec<u8>, String> {
        let tree = Tree::from_str(svg, &self.options).map_err(|error| error.to_string())?;
        let size = tree.size().to_int_size().scale_by(SCALE).ok_or("a plot without size")?;
        let mut pixmap = Pixmap::new(size.width(), size.height()).ok_or("a plot without size")?;
        resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixmap.as_mut());
        pixmap.encode_png().map_err(|error| error.to_string())
    }
}
