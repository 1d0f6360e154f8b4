//! Reads in the model.

use menagerie_wire::jute::Put;
use menagerie_wire::proto::{ReadOp, Request};

use super::access::allowed;
use super::{Asking, Code, END, Model, put_header};

impl Model {
    /// Answers a read: whatever body there is, and the code in the header.
    pub(crate) fn read(&self, asking: &Asking<'_>, request: &Request<'_>) -> (Vec<u8>, Code) {
        let mut out = Vec::new();
        let code = self.try_read(asking, request, &mut out).err().unwrap_or(0);
        (out, code)
    }

    fn try_read(
        &self,
        asking: &Asking<'_>,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Code> {
        let readable =
            |path: &str| self.get(path).and_then(|node| allowed(node, 1, asking).map(|()| node));
        match request {
            Request::Exists(read) if read.path.contains('\0') => return Err(-8),
            Request::Exists(read) => {
                readable(&read.path)?;
                self.put_stat(&read.path, out);
            }
            Request::GetData(read) => {
                out.put_buffer(readable(&read.path)?.data.as_deref());
                self.put_stat(&read.path, out);
            }
            Request::GetChildren(read) => {
                readable(&read.path)?;
                self.put_children(&read.path, out);
            }
            Request::GetChildren2(read) => {
                readable(&read.path)?;
                self.put_children(&read.path, out);
                self.put_stat(&read.path, out);
            }
            Request::GetAcl(path) => {
                self.put_acl(path, asking, out)?;
                self.put_stat(path, out);
            }
            Request::GetAllChildrenNumber(path) => {
                readable(path)?;
                let prefix = format!("{}/", if path == "/" { "" } else { path });
                let below = self.nodes.keys().filter(|other| other.starts_with(&prefix)).count();
                out.put_int((below - (path == "/") as usize) as i32);
            }
            Request::GetEphemerals(prefix) => {
                let prefix = prefix.as_deref().unwrap_or("/");
                let mut owned = self.owned(asking.session);
                owned.retain(|path| prefix == "/" || path.starts_with(prefix));
                out.put_int(owned.len() as i32);
                owned.iter().for_each(|path| out.put_string(path));
            }
            Request::MultiRead(multi) => {
                for op in &multi.ops {
                    let (kind, single) = match op.clone() {
                        ReadOp::GetData(read) => (4, Request::GetData(read)),
                        ReadOp::GetChildren(read) => (8, Request::GetChildren(read)),
                    };
                    let (body, code) = self.read(asking, &single);
                    put_header(if code == 0 { kind } else { -1 }, code, out);
                    out.extend(body);
                    if code != 0 {
                        out.put_int(code);
                    }
                }
                out.extend(END);
                return if multi.of_writes { Err(-5) } else { Ok(()) };
            }
            other => panic!("{other:?} is no read"),
        }
        Ok(())
    }

    fn put_acl(&self, path: &str, asking: &Asking<'_>, out: &mut Vec<u8>) -> Result<(), Code> {
        let node = self.get(path)?;
        allowed(node, 17, asking)?;
        let masked = allowed(node, 16, asking).is_err();
        out.put_int(node.acl.len() as i32);
        for (perms, scheme, id) in &node.acl {
            out.put_int(*perms);
            out.put_string(scheme);
            let hidden = masked && scheme == "digest";
            let user = id.split(':').next().unwrap_or_default();
            out.put_string(&if hidden { format!("{user}:x") } else { id.clone() });
        }
        Ok(())
    }

    fn put_children(&self, path: &str, out: &mut Vec<u8>) {
        let children = self.children(if path.is_empty() { "/" } else { path });
        out.put_int(children.len() as i32);
        children.iter().for_each(|name| out.put_string(name));
    }

    pub(crate) fn put_stat(&self, path: &str, out: &mut Vec<u8>) {
        let path = if path.is_empty() { "/" } else { path };
        let node = &self.nodes[path];
        let children = self.children(path).len() as i32;
        for number in [node.czxid, node.mzxid, node.ctime_ms, node.mtime_ms] {
            out.put_long(number);
        }
        for number in [node.version, 2 * node.creates - children, node.aversion] {
            out.put_int(number);
        }
        out.put_long(node.owner.max(0));
        out.put_int(node.data.as_ref().map_or(0, Vec::len) as i32);
        out.put_int(children);
        out.put_long(node.pzxid);
    }
}
