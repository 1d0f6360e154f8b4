//! Access lists in the model.

use menagerie_wire::data::Acl;

use super::{Asking, Code, List, Node};

pub(super) fn allowed(node: &Node, needed: i32, asking: &Asking<'_>) -> Result<(), Code> {
    let granted = node.acl.iter().any(|(perms, scheme, id)| {
        let to_me = asking.ids.contains(&(&**scheme, &**id));
        perms & needed != 0 && (scheme == "world" || to_me)
    });
    let superuser = asking.ids.iter().any(|(scheme, _)| *scheme == "super");
    if granted || superuser { Ok(()) } else { Err(-102) }
}

pub(super) fn fix(acl: Option<&[Acl<'_>]>, asking: &Asking<'_>) -> Result<List, Code> {
    let mut fixed = List::new();
    let mut seen = Vec::new();
    for entry in acl.unwrap_or_default() {
        if seen.contains(&entry) {
            continue;
        }
        seen.push(entry);
        let (perms, scheme, id) = (entry.perms, &*entry.id.scheme, &*entry.id.id);
        match scheme {
            "auth" => {
                let mine = asking.ids.iter().filter(|(scheme, _)| *scheme == "digest");
                let before = fixed.len();
                fixed.extend(mine.map(|(scheme, id)| (perms, scheme.to_string(), id.to_string())));
                if fixed.len() == before {
                    return Err(-114);
                }
            }
            "world" if id == "anyone" => fixed.push((perms, scheme.into(), id.into())),
            "digest" if id.split(':').count() == 2 => {
                fixed.push((perms, scheme.into(), id.into()));
            }
            _ => return Err(-114),
        }
    }
    if fixed.is_empty() { Err(-114) } else { Ok(fixed) }
}
