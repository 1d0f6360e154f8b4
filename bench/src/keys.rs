//! The nodes of a load: where they are, and which comes next.

use crate::checks;
use crate::error::BenchError;
use crate::fleet::Fleet;
use crate::latency::Recorder;
use crate::random::Random;
use crate::test_tree;

/// Requests in flight per connection while the nodes are created and deleted.
const BUILD_DEPTH: usize = 16;

/// Numbered nodes, in directories below one root or in the root itself.
pub struct Keys {
    root: String,
    pub paths: Vec<String>,
    /// Empty when all nodes lie in the root.
    directories: Vec<String>,
    pub per_directory: u32,
}

impl Keys {
    pub fn new(count: u32, per_directory: u32) -> Self {
        let root = test_tree::unique_root();
        let flat = per_directory >= count;
        let directories = if flat { 0 } else { count.div_ceil(per_directory) };
        let directories: Vec<_> = (0..directories).map(|d| format!("{root}/d{d:06}")).collect();
        let path = |key: u32| match directories.get((key / per_directory) as usize) {
            Some(directory) if !flat => format!("{directory}/{key:07}"),
            _ => format!("{root}/{key:07}"),
        };
        let paths = (0..count).map(path).collect();
        Self { root, paths, directories, per_directory: per_directory.min(count) }
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.paths.len()).unwrap_or(u32::MAX)
    }

    /// The directory that a node lies in.
    pub fn directory(&self, key: u32) -> &str {
        self.directories.get((key / self.per_directory) as usize).unwrap_or(&self.root)
    }

    /// How many nodes the directory of a node has.
    pub fn siblings(&self, key: u32) -> u32 {
        let first = key / self.per_directory * self.per_directory;
        self.per_directory.min(self.count() - first)
    }

    /// Creates all nodes, each with `value` under its own label.
    pub fn create(&self, fleet: &mut Fleet, value: Vec<u8>) -> Result<(), BenchError> {
        let path = |key: u32| self.paths[key as usize].as_str();
        let directory = |number: u32| self.directories[number as usize].as_str();
        let directories = u32::try_from(self.directories.len()).unwrap_or(u32::MAX);
        let value_of = checks::first_values(value);
        let unmeasured = Recorder::default;
        test_tree::create_root(fleet, &self.root)?;
        let empty = |_| &[];
        test_tree::create(fleet, directories, BUILD_DEPTH, directory, empty, unmeasured())?;
        test_tree::create(fleet, self.count(), BUILD_DEPTH, path, value_of, unmeasured())?;
        // Servers may lag, and the first reads go to all of them.
        test_tree::sync(fleet, &self.root)
    }

    /// Deletes all nodes, which have no children.
    pub fn delete(&self, fleet: &mut Fleet) -> Result<(), BenchError> {
        let path = |key: u32| self.paths[key as usize].as_str();
        let directory = |number: u32| self.directories[number as usize].as_str();
        let directories = u32::try_from(self.directories.len()).unwrap_or(u32::MAX);
        test_tree::delete(fleet, self.count(), BUILD_DEPTH, path)?;
        test_tree::delete(fleet, directories, BUILD_DEPTH, directory)?;
        test_tree::delete_root(fleet, &self.root)
    }
}

/// Draws numbers of nodes: all alike, or the more often the lower they are (Zipf).
pub struct Draw {
    count: u32,
    /// By number: the probability of it and all before it; empty when all are alike.
    cumulative: Vec<f64>,
}

impl Draw {
    /// The probability of number n is proportional to 1 / (n + 1)^`skew`.
    pub fn new(count: u32, skew: f64) -> Self {
        if skew == 0.0 {
            return Self { count, cumulative: Vec::new() };
        }
        let mut sum = 0.0;
        let weights = (1..=count).map(|rank| f64::from(rank).powf(-skew));
        let sums = weights.map(|weight| {
            sum += weight;
            sum
        });
        let mut cumulative: Vec<f64> = sums.collect();
        cumulative.iter_mut().for_each(|part| *part /= sum);
        Self { count, cumulative }
    }

    pub fn next(&self, random: &mut Random) -> u32 {
        if self.cumulative.is_empty() {
            return random.below(self.count);
        }
        let drawn = random.fraction();
        let rank = self.cumulative.partition_point(|part| *part <= drawn);
        u32::try_from(rank).unwrap_or(u32::MAX).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_in_directories_of_their_size() {
        let keys = Keys::new(250, 100);
        assert_eq!(keys.directories.len(), 3);
        assert!(keys.paths[100].starts_with(&keys.directories[1]));
        assert_eq!(keys.directory(249), keys.directories[2]);
        assert_eq!((keys.siblings(0), keys.siblings(199), keys.siblings(249)), (100, 100, 50));
        let flat = Keys::new(250, 250);
        assert_eq!((flat.directory(7), flat.siblings(7)), (&*flat.root, 250));
        assert!(flat.directories.is_empty());
    }

    #[test]
    fn a_skewed_draw_prefers_low_numbers_as_zipf_says() {
        let mut random = Random::seeded(1);
        let mut drawn = |skew: f64| {
            let draw = Draw::new(4, skew);
            let mut counts = [0_u32; 4];
            (0..10_000).for_each(|_| counts[draw.next(&mut random) as usize] += 1);
            counts
        };
        // 1 / (1 + 1/2 + 1/3 + 1/4) of all are the first, half as many the second …
        for (count, expected) in drawn(1.0).into_iter().zip([4_800, 2_400, 1_600, 1_200_u32]) {
            assert!(count.abs_diff(expected) < 200, "{count} near {expected}");
        }
        assert!(drawn(0.0).iter().all(|count| count.abs_diff(2_500) < 200));
    }
}
