//! The page: results first, then the plots, then what the figures hold for.
//!
//! One file without a reference to any other, whole without its script, on paper, and by light and
//! dark. Figures come with what limits them: whether the generator had time to spare, and what a
//! closed loop does not see.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::colours;
use super::plots::{Group, words};
use super::run::{Operation, Run};
use super::units;
use crate::host::GENERATOR;

/// Above it the generator may be what was measured.
const CPU_SHARE_MAX: f64 = 0.8;
/// Above it others on the machine kept the generator from its work.
const WAIT_SHARE_MAX: f64 = 0.05;

const SCRIPT: &str = include_str!("page.js");

/// Conditions by what they are about; those that are not listed are about the load.
const GROUPS: [(&str, &[&str]); 3] = [
    ("Server", &["server_version", "servers", "data_disk"]),
    ("Host", &["host_cpu_model", "host_cpus", "host_memory_bytes", "kernel"]),
    ("Generator", &["generator", "command", "started"]),
];

pub(super) fn page(title: &str, runs: &[Run], groups: &[Group]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(GENERATOR);
                title { (title) }
                style { (PreEscaped(colours::stylesheet_of_page())) }
            }
            body {
                header {
                    h1 { (title) }
                    (headline(runs))
                    (verdicts(runs))
                }
                main {
                    (results(runs))
                    @for group in groups { (plots(group)) }
                    (costs(runs))
                    (conditions(runs))
                    (reading(runs))
                }
                footer { "Written by " (GENERATOR) " from " (count(runs.len(), "run")) "." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// What was run and where.
fn headline(runs: &[Run]) -> Markup {
    html! {
        p class="headline" {
            @for (n, part) in summary(runs).iter().enumerate() {
                @if n > 0 { " · " }
                span { (part) }
            }
        }
    }
}

/// The load and the machine, as far as they are those of all runs; captions of pictures have it,
/// too.
pub(super) fn summary(runs: &[Run]) -> Vec<String> {
    let mut of_each = runs.iter().map(summary_of);
    let mut parts = of_each.next().unwrap_or_default();
    for others in of_each {
        parts.retain(|part| others.contains(part));
    }
    parts
}

fn summary_of(run: &Run) -> Vec<String> {
    let mut parts = vec![run.scenario.clone()];
    let mut add = |name: &str, say: &dyn Fn(String) -> String| {
        parts.extend(run.condition(name).map(say));
    };
    add("ratio", &|ratio| format!("{ratio} reads to writes"));
    add("connections", &|n| format!("{n} connections"));
    add("depth", &|n| format!("depth {n}"));
    add("rate", &|n| format!("{n} requests/s"));
    add("loop", &|kind| format!("{kind} loop"));
    add("value_bytes", &|n| format!("values of {n} bytes"));
    let model = run.condition("host_cpu_model").map_or(String::new(), |m| format!(" ({m})"));
    add("host_cpus", &|n| format!("{n} CPUs{model}"));
    add("kernel", &|kernel| format!("Linux {kernel}"));
    parts.extend(run.condition("started").and_then(|at| at.get(..10).map(str::to_owned)));
    parts
}

/// What must be known before any figure is believed.
fn verdicts(runs: &[Run]) -> Markup {
    let violations: u64 = runs.iter().map(|run| run.violations).sum();
    let checked =
        |is: &'static str| move |run: &Run| run.condition("checked").as_deref() == Some(is);
    let errors: u64 = operations(runs).map(|operation| operation.errors).sum();
    html! {
        ul class="verdicts" {
            @if violations > 0 {
                li class="bad" { "✗ " (units::exact(violations)) " wrong answers" }
            } @else if runs.iter().any(checked("no")) {
                li { "Not all answers were checked" }
            } @else if runs.iter().all(checked("yes")) {
                li class="good" { "✓ No wrong answer" }
            }
            @if errors == 0 {
                li class="good" { "✓ No error" }
            } @else {
                li class="bad" { "✗ " (units::exact(errors)) " errors" }
            }
            (generator_verdict(runs))
            @if runs.iter().all(Run::is_open_loop) {
                li class="good" { "✓ Open loop: latency counts from the schedule" }
            } @else if runs.iter().any(Run::is_closed_loop) {
                li { "Closed loop: load falls when a server stalls" }
            }
        }
    }
}

/// Whether the generator was what was measured: it had no time to spare, or got no CPU.
fn generator_verdict(runs: &[Run]) -> Markup {
    let most = |share: fn(&Run) -> Option<f64>| runs.iter().filter_map(share).reduce(f64::max);
    let busy = most(|run| run.client_cpu_share);
    let waited = most(|run| run.client_wait_share);
    let (Some(busy), Some(waited)) = (busy, waited) else { return html! {} };
    let (is_busy, has_waited) = (busy > CPU_SHARE_MAX, waited > WAIT_SHARE_MAX);
    let (busy, waited) = (units::percent(busy), units::percent(waited));
    html! {
        @if is_busy {
            li class="bad" { "✗ Generator at " (busy) " of its core: it may be the limit" }
        } @else if has_waited {
            li class="bad" {
                "✗ Generator at " (busy) " of its core, and " (waited)
                " of the time without a free one: that is in the latencies"
            }
        } @else {
            li class="good" { "✓ Generator at " (busy) " of its core: not the limit" }
        }
    }
}

fn operations(runs: &[Run]) -> impl Iterator<Item = &Operation> {
    runs.iter().flat_map(|run| run.operations.values())
}

/// The table of figures; later runs are set beside the first.
fn results(runs: &[Run]) -> Markup {
    let mut names: Vec<&String> = runs.iter().flat_map(|run| run.operations.keys()).collect();
    names.sort();
    names.dedup();
    let several = runs.len() > 1;
    html! {
        section {
            h2 { "Results" }
            div class="scroll" { table class="figures" {
                thead { tr {
                    th { "Operation" }
                    @if several { th { "Run" } }
                    @for head in ["per second", "p50", "p90", "p99", "p99.9", "p99.99", "max",
                        "count", "errors"] { th class="number" { (head) } }
                } }
                @for name in names {
                    tbody {
                        @let first = runs[0].operations.get(name);
                        @let with = |run: &&Run| run.operations.contains_key(name);
                        @for (row, run) in runs.iter().filter(with).enumerate() {
                            @let operation = &run.operations[name];
                            @let against = first.filter(|first| !std::ptr::eq(*first, operation));
                            tr {
                                th scope="row" { @if row == 0 { (words(name)) } }
                                @if several { td { (swatch(runs, run)) (run.label) } }
                                (figures(operation, against))
                            }
                        }
                    }
                }
            } }
            @if several {
                p class="note" { "× is against " strong { (runs[0].label) } "." }
            }
        }
    }
}

fn swatch(runs: &[Run], run: &Run) -> Markup {
    let number = runs.iter().position(|other| std::ptr::eq(other, run)).unwrap_or_default();
    html! { span class="swatch" style={ "background:var(--s" (number % colours::SERIES) ")" } {} }
}

fn figures(operation: &Operation, against: Option<&Operation>) -> Markup {
    const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
    let latencies = |of: &Operation| {
        let at = |q| of.latency_ns.value_at_quantile(q) as f64;
        let mut values: Vec<f64> = QUANTILES.into_iter().map(at).collect();
        values.push(of.latency_ns.max() as f64);
        values
    };
    let others = against.map(latencies);
    html! {
        td class="number" {
            (units::count(operation.per_second))
            (ratio(operation.per_second, against.map(|other| other.per_second)))
        }
        @for (n, ns) in latencies(operation).into_iter().enumerate() {
            td class="number" {
                (units::latency(ns)) (ratio(ns, others.as_ref().map(|others| others[n])))
            }
        }
        td class="number" { (units::exact(operation.latency_ns.len())) }
        td class={ "number" @if operation.errors > 0 { " bad" } } {
            (units::exact(operation.errors))
        }
    }
}

fn ratio(value: f64, against: Option<f64>) -> Markup {
    let ratio = against.filter(|against| *against > 0.0).map(|against| value / against);
    html! { @if let Some(ratio) = ratio { span class="ratio" { "×" (format!("{ratio:.2}")) } } }
}

fn plots(group: &Group) -> Markup {
    html! {
        section {
            h2 { "Plots" @if let Some(title) = &group.title { ": " (title) } }
            div class="plots" {
                @for plot in &group.plots { figure id=(plot.name) { (plot.inline()) } }
            }
        }
    }
}

/// Processor time, and what only one scenario measures.
fn costs(runs: &[Run]) -> Markup {
    let seconds = |s: f64| format!("{s:.2} s");
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |name: &str, of: &dyn Fn(&Run) -> Option<String>| {
        let cells: Vec<_> = runs.iter().map(of).collect();
        if cells.iter().any(Option::is_some) {
            rows.push((name.to_owned(), cells));
        }
    };
    row("Generator: CPU time", &|run| Some(seconds(run.client_cpu_s)));
    row("Generator: share of its core", &|run| run.client_cpu_share.map(units::percent));
    row("Generator: without a free core", &|run| run.client_wait_share.map(units::percent));
    row("Server: CPU time", &|run| run.server_cpu_s.map(seconds));
    row("Operations per second of server CPU", &|run| run.ops_per_server_cpu_s.map(units::count));
    let mut names: Vec<&String> = runs.iter().flat_map(|run| run.figures.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let value = |run: &Run| run.figures.get(name).map(|value| figure(name, *value));
        match name.strip_suffix("_bytes") {
            Some(short) => row(&words(short), &value),
            None => row(&words(name), &value),
        }
    }
    table_of_runs("Cost and other figures", runs, &[("", rows)])
}

/// The unit of a figure stands in its name.
fn figure(name: &str, value: f64) -> String {
    if name.ends_with("_bytes") { units::bytes(value) } else { units::count(value) }
}

fn conditions(runs: &[Run]) -> Markup {
    let mut names: Vec<&str> =
        runs.iter().flat_map(|run| run.conditions.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let listed = |name: &&str| GROUPS.iter().any(|(_, listed)| listed.contains(name));
    let of_load: Vec<&str> = names.iter().copied().filter(|name| !listed(name)).collect();
    let rows_of = |of: &[&str]| -> Vec<_> {
        let known = of.iter().filter(|name| names.contains(name));
        known
            .map(|name| {
                let short = match *name {
                    "host_memory_bytes" => "memory",
                    name => name.trim_start_matches("host_"),
                };
                (words(short), runs.iter().map(|run| condition(run, name)).collect())
            })
            .collect()
    };
    let mut rows = vec![("Load", rows_of(&of_load))];
    rows.extend(GROUPS.iter().map(|(title, names)| (*title, rows_of(names))));
    table_of_runs("Conditions", runs, &rows)
}

fn condition(run: &Run, name: &str) -> Option<String> {
    match run.conditions.get(name)?.as_f64() {
        Some(value) if name == "host_memory_bytes" => Some(units::bytes(value)),
        _ => run.condition(name),
    }
}

/// A name and its value in each run.
type Row = (String, Vec<Option<String>>);

/// A row for each name and a column for each run; what is the same for all stands once.
fn table_of_runs(title: &str, runs: &[Run], groups: &[(&str, Vec<Row>)]) -> Markup {
    html! {
        section {
            h2 { (title) }
            div class="scroll" { table class="runs" {
                colgroup { col class="name"; @for _ in runs { col; } }
                @if runs.len() > 1 {
                    thead { tr {
                        th {}
                        @for run in runs { th { (swatch(runs, run)) (run.label) } }
                    } }
                }
                @for (group, rows) in groups.iter().filter(|(_, rows)| !rows.is_empty()) {
                    tbody {
                        @if !group.is_empty() {
                            tr class="group" { th colspan=(runs.len() + 1) { (group) } }
                        }
                        @for row in rows { (table_row(row)) }
                    }
                }
            } }
        }
    }
}

fn table_row((name, cells): &Row) -> Markup {
    let text = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "–".to_owned());
    html! {
        tr {
            th scope="row" { (name) }
            @if cells.iter().all(|cell| *cell == cells[0]) {
                td colspan=(cells.len()) { (text(&cells[0])) }
            } @else {
                @for cell in cells { td class="differs" { (text(cell)) } }
            }
        }
    }
}

fn reading(runs: &[Run]) -> Markup {
    html! {
        section class="reading" {
            h2 { "How to read this" }
            @if runs.iter().any(Run::is_open_loop) {
                p {
                    "In an " strong { "open loop" } " requests leave by a schedule, whatever the \
                     server does, and latency counts from the time on the schedule: a server that \
                     stalls is charged for every request that it kept waiting."
                }
            }
            @if runs.iter().any(Run::is_closed_loop) {
                p {
                    "In a " strong { "closed loop" } " a connection sends its next request when \
                     one is answered. A server that stalls is asked less meanwhile, so its \
                     percentiles look better than what clients with a schedule of their own would \
                     feel. Compare throughput in a closed loop and latency in an open one."
                }
            }
            p {
                "A latency is the time from when a request was due to when its reply was read. \
                 Requests due inside the measured window count; the warm-up before it does not. \
                 Over time, a latency stands where its reply came, so a stall is a gap with a \
                 peak behind it."
            }
            p {
                "The generator sends and receives on one thread. Its share is its CPU time over \
                 the window; near 100% the figures are its own and not the server's. Time in which \
                 it was ready to run and others had every core is in each latency that it measured."
            }
        }
    }
}
