//! Makes a diverging script short: takes steps away as long as the same divergence stays.
//!
//! First whole runs of steps (delta debugging: halves, quarters, … single steps), then pieces of
//! the steps that are left: requests of a burst, operations of a multi, entries of lists; then
//! values are replaced by plain ones. A candidate counts when it diverges at the same kind of step.

use super::script::{AclEntry, Action, Field, Opening, Request, Script, Step};

/// The shortest script found for which `still` holds, as it does for `script`. `still` says `None`
/// when there is no time left.
pub fn shrink(script: Script, mut still: impl FnMut(&Script) -> Option<bool>) -> Script {
    let mut best = script;
    loop {
        let before = best.clone();
        if without_steps(&mut best, &mut still).is_none()
            || with_simpler_steps(&mut best, &mut still).is_none()
            || best == before
        {
            return best;
        }
    }
}

fn without_steps(best: &mut Script, still: &mut impl FnMut(&Script) -> Option<bool>) -> Option<()> {
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < best.steps.len() {
            let mut candidate = best.clone();
            candidate.steps.drain(start..(start + size).min(best.steps.len()));
            if still(&candidate)? {
                *best = candidate;
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    Some(())
}

fn with_simpler_steps(
    best: &mut Script,
    still: &mut impl FnMut(&Script) -> Option<bool>,
) -> Option<()> {
    for index in 0..best.steps.len() {
        let mut candidates = simpler_steps(&best.steps[index]).into_iter();
        while let Some(step) = candidates.next() {
            let mut candidate = best.clone();
            candidate.steps[index] = step;
            if still(&candidate)? {
                candidates = simpler_steps(&candidate.steps[index]).into_iter();
                *best = candidate;
            }
        }
    }
    Some(())
}

/// Steps that are simpler than `step` in one respect. Repeating this ends, because each is smaller
/// or plainer than the one before.
fn simpler_steps(step: &Step) -> Vec<Step> {
    let with = |action| Step { slot: step.slot, action };
    let mut simpler = Vec::new();
    if step.slot > 0 {
        simpler.push(Step { slot: 0, action: step.action.clone() });
    }
    match &step.action {
        Action::Ask(requests) => {
            if requests.len() > 1 {
                simpler.extend(without_each(requests).map(|rest| with(Action::Ask(rest))));
            }
            for (index, request) in requests.iter().enumerate() {
                for plainer in simpler_requests(request) {
                    let mut requests = requests.clone();
                    requests[index] = plainer;
                    simpler.push(with(Action::Ask(requests)));
                }
            }
        }
        Action::Open(opening) => {
            let claim = opening.claim;
            let plain = Opening { claim, eager: opening.eager.clone(), ..Opening::new() };
            if *opening != plain {
                simpler.push(with(Action::Open(plain)));
            }
            for eager in without_each(&opening.eager) {
                simpler.push(with(Action::Open(Opening { eager, ..opening.clone() })));
            }
        }
        Action::Drop | Action::Restart { .. } | Action::Frame(_) => {}
    }
    simpler
}

fn simpler_requests(request: &Request) -> Vec<Request> {
    let mut simpler = Vec::new();
    if request.xid.is_some() {
        simpler.push(Request { xid: None, ..request.clone() });
    }
    if request.cut > 0 {
        simpler.push(Request { cut: 0, ..request.clone() });
    }
    for fields in simpler_fields(&request.fields) {
        simpler.push(Request { fields, ..request.clone() });
    }
    simpler
}

fn simpler_fields(fields: &[Field]) -> Vec<Vec<Field>> {
    let mut simpler = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        for plainer in simpler_field(field) {
            let mut fields = fields.to_vec();
            fields[index] = plainer;
            simpler.push(fields);
        }
    }
    simpler
}

fn simpler_field(field: &Field) -> Vec<Field> {
    match field {
        Field::Byte(1..) => vec![Field::Byte(0)],
        Field::Data(Some(data)) if data.len() > 1 => vec![Field::Data(Some(data[..1].to_vec()))],
        Field::Texts(Some(texts)) => {
            without_each(texts).map(|rest| Field::Texts(Some(rest))).collect()
        }
        Field::Acl(Some(entries)) if entries.len() > 1 => {
            without_each(entries).map(|rest| Field::Acl(Some(rest))).collect()
        }
        Field::Acl(Some(entries)) if entries[..] != [AclEntry::anyone()] => {
            vec![Field::Acl(Some(vec![AclEntry::anyone()]))]
        }
        Field::Parts(parts) => {
            let mut simpler: Vec<_> = without_each(parts).map(Field::Parts).collect();
            for (index, part) in parts.iter().enumerate() {
                for fields in simpler_fields(&part.fields) {
                    let mut parts = parts.clone();
                    parts[index].fields = fields;
                    simpler.push(Field::Parts(parts));
                }
            }
            simpler
        }
        Field::Byte(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::Data(_)
        | Field::Text(_)
        | Field::Texts(_)
        | Field::Acl(_)
        | Field::SeenZxid(_)
        | Field::Raw(_) => Vec::new(),
    }
}

/// `items` without the first, without the second, and so on.
fn without_each<T: Clone>(items: &[T]) -> impl Iterator<Item = Vec<T>> {
    (0..items.len()).map(|index| {
        let mut rest = items.to_vec();
        rest.remove(index);
        rest
    })
}

#[cfg(test)]
mod tests {
    use super::super::generate::generate;
    use super::*;

    fn requests(script: &Script) -> impl Iterator<Item = &Request> {
        script.steps.iter().flat_map(|step| match &step.action {
            Action::Ask(requests) => &requests[..],
            Action::Open(_) | Action::Drop | Action::Restart { .. } | Action::Frame(_) => &[],
        })
    }

    #[test]
    fn only_the_steps_that_matter_are_left() {
        let fails = |script: &Script| {
            let ops: Vec<_> = requests(script).map(|request| request.op).collect();
            ops.iter().position(|op| *op == 1).is_some_and(|at| ops[at..].contains(&5))
        };
        let long = (0..).map(generate).find(fails).expect("some script creates and then sets");
        let short = shrink(long, |script| Some(fails(script)));
        assert_eq!(short.steps.len(), requests(&short).count().min(2), "{short}");
        assert!(requests(&short).map(|request| request.op).eq([1, 5]), "{short}");
    }

    #[test]
    fn shrinking_stops_when_the_time_is_over() {
        let script = generate(3);
        assert_eq!(shrink(script.clone(), |_| None), script);
    }
}
