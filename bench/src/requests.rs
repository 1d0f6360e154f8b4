//! Bodies of requests that only this crate writes: servers read them in other forms.

use menagerie_wire::jute::{Encode, Put as _};
use menagerie_wire::proto::AddWatchMode;

/// A request that only names a path.
pub struct OnePath<'a>(pub &'a str);

impl Encode for OnePath<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.0);
    }
}

pub struct AddWatch<'a> {
    pub path: &'a str,
    pub mode: AddWatchMode,
}

impl Encode for AddWatch<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.path);
        out.put_int(self.mode as i32);
    }
}
