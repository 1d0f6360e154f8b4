//! Quotas in the model: limits and usage are looked for among all prefixes of a path.

use std::collections::BTreeMap;

use super::{Code, Model};

impl Model {
    /// The longest prefix of `path` that has limits.
    fn quota(&self, path: &str) -> Option<String> {
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
        let prefixes = ends.map(|end| &path[..end]).filter(|prefix| prefix.len() > 1);
        let limited = prefixes.filter(|prefix| {
            self.nodes.contains_key(&format!("/zookeeper/quota{prefix}/zookeeper_limits"))
        });
        limited.last().map(|prefix| format!("/zookeeper/quota{prefix}"))
    }

    pub(super) fn quota_allows(&self, path: &str, count: i64, bytes: i64) -> Result<(), Code> {
        let Some(mirror) = self.quota(path).filter(|_| self.enforce_quota) else { return Ok(()) };
        let figures = |name| match self.nodes.get(&format!("{mirror}/{name}")) {
            Some(node) => figures(node.data.as_deref()).map(Some).ok_or(-5),
            None => Ok(None),
        };
        let limits = figures("zookeeper_limits")?.unwrap_or_default();
        let Some(usage) = figures("zookeeper_stats")? else { return Ok(()) };
        let value = |of: &BTreeMap<String, i64>, key| of.get(key).copied().unwrap_or(-1);
        let adds = [("count", "countHardLimit", count), ("bytes", "byteHardLimit", bytes)];
        for (key, limit, added) in adds {
            let limit = value(&limits, limit);
            if added != 0 && limit >= 0 && value(&usage, key) + added > limit {
                return Err(-125);
            }
        }
        Ok(())
    }

    pub(super) fn quota_count(&mut self, path: &str, count: i64, bytes: i64) {
        let Some(mirror) = self.quota(path) else { return };
        let Some(stats) = self.nodes.get_mut(&format!("{mirror}/zookeeper_stats")) else { return };
        let Some(mut usage) = figures(stats.data.as_deref()) else { return };
        let mut text = String::new();
        for (key, added, comma) in [("count", count, ","), ("bytes", bytes, "")] {
            let value = usage.remove(key).unwrap_or(-1) + added;
            text += &format!("{key}={value}{comma}");
        }
        for (index, (key, value)) in usage.iter().enumerate() {
            text += if index == 0 { "=;" } else { ";" };
            text += &format!("{key}={value}");
        }
        stats.data = Some(text.into_bytes());
    }

    /// A new node for statistics says at once what is there.
    pub(super) fn quota_fill(&mut self, path: &str) {
        let mirrored = path.strip_prefix("/zookeeper/quota");
        let Some(of) = mirrored.and_then(|of| of.strip_suffix("/zookeeper_stats")) else { return };
        if of.is_empty() {
            return;
        }
        let below = format!("{of}/");
        let inside = |path: &str| path == of || path.starts_with(&below);
        let counted = self.nodes.iter().filter(|(path, _)| inside(path));
        let sizes: Vec<_> =
            counted.map(|(_, node)| node.data.as_ref().map_or(0, Vec::len)).collect();
        let text = format!("count={},bytes={}", sizes.len(), sizes.iter().sum::<usize>());
        self.nodes.get_mut(path).expect("was made").data = Some(text.into_bytes());
    }
}

fn figures(data: Option<&[u8]>) -> Option<BTreeMap<String, i64>> {
    let text = String::from_utf8(data?.to_vec()).ok()?;
    let mut figures = BTreeMap::new();
    for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
        let pair = pair.strip_suffix('=').unwrap_or(pair);
        let (key, value) = pair.split_once('=')?;
        figures.insert(key.to_owned(), value.parse().ok()?);
    }
    Some(figures)
}
