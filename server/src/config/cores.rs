//! Lists of processor numbers, as `taskset` and the kernel write them: `0-3,5`.

/// Processor numbers are below this (the kernel's own largest `NR_CPUS`).
const CORE_MAX: usize = 8_192;

/// The numbers that `list` names, in its order; `None` when it is malformed, empty or has doubles.
pub(super) fn parse(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for item in list.split(',').map(str::trim) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CORE_MAX {
            return None;
        }
        for core in first..=last {
            if cores.contains(&core) {
                return None;
            }
            cores.push(core);
        }
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_numbers_and_ranges_each_once() {
        let check = |list: &str, expect: Option<&[usize]>| {
            assert_eq!(parse(list).as_deref(), expect, "{list:?}");
        };
        check("0", Some(&[0]));
        check("0-3,5", Some(&[0, 1, 2, 3, 5]));
        check("7, 2-3", Some(&[7, 2, 3]));
        check("", None);
        check("3-1", None);
        check("1,0-2", None);
        check("0-99999999", None);
        check("a", None);
    }
}
