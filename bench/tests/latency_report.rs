//! `report`: the page and the pictures that are made of what runs recorded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree;
use serde_json::Value;
use support::{Echo, bench};
use tempfile::TempDir;

mod support;

/// A directory with the runs that the tests look at, and what is made of them.
struct Runs {
    directory: TempDir,
}

impl Runs {
    /// One run in an open loop and one in a closed loop.
    fn record() -> Self {
        let runs = Self { directory: TempDir::new().unwrap() };
        let echo = Echo::start(&[]);
        let pid = echo.pid();
        for (name, flags) in [("open", ["--rate", "2000"]), ("closed", ["--depth", "2"])] {
            let mut command = bench();
            command.args(["mixed", "--unchecked", "--servers", &echo.address]);
            command.args(["--server-pid", &pid, "--connections", "4", "--keys", "50"]);
            command.args(["--seconds", "1.2", "--warm-up", "0", "--data-dir", "."]);
            command.arg("--json").arg(runs.path(&format!("{name}.json"))).args(flags);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        runs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn report(&self, flags: &[&str]) -> Output {
        let mut command = bench();
        command.arg("report").args(flags).current_dir(self.directory.path());
        command.output().unwrap()
    }
}

/// What a page would fetch, or leave for.
fn references(page: &str) -> Vec<&str> {
    let page = page.split("xmlns=\"http://www.w3.org/2000/svg\"").collect::<Vec<_>>();
    let outside = ["http:", "https:", "src=", "href=", "@import", "url(", "<link"];
    let found = |piece: &&str| page.iter().any(|part| part.contains(*piece));
    outside.into_iter().filter(|piece| found(piece)).collect()
}

/// The page's drawings, each as a document of its own.
fn drawings(page: &str) -> Vec<&str> {
    let begins = page.match_indices("<svg").map(|(at, _)| at);
    begins.map(|at| &page[at..at + page[at..].find("</svg>").unwrap() + 6]).collect()
}

/// The SVG decodes, says what it is about, and its PNG shows the same in twice the size.
fn check_plot(svg: &Path, title: &str) {
    let text = fs::read_to_string(svg).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let root = document.root_element();
    let named = root.descendants().find(|node| node.has_tag_name("title")).unwrap();
    assert_eq!(named.text(), Some(title), "{svg:?}");
    let lines = root.descendants().filter(|node| node.attribute("class") == Some("grid")).count();
    assert!(lines >= 4, "{svg:?} has axes");
    assert!(!text.contains("NaN") && !text.contains("inf"), "{svg:?}");

    let side = |name: &str| root.attribute(name).unwrap().parse::<f64>().unwrap() * 2.0;
    let png = Pixmap::decode_png(&fs::read(svg.with_extension("png")).unwrap()).unwrap();
    let size = (f64::from(png.width()), f64::from(png.height()));
    assert!((size.0 - side("width")).abs() <= 2.0, "{svg:?} {size:?}");
    assert!((size.1 - side("height")).abs() <= 2.0, "{svg:?} {size:?}");
    // The title is written in dark ink on white ground: without a font there would be none.
    let dark = |x: u32, y: u32| png.pixel(x, y).is_some_and(|pixel| pixel.red() < 64);
    assert!((24..200).any(|x| (20..52).any(|y| dark(x, y))), "{svg:?} has no title");
}

#[test]
fn two_runs_become_one_page_and_pictures() {
    let runs = Runs::record();
    let flags = ["First & <best>=open.json", "closed.json", "--html", "out/report.html"];
    let output = runs.report(&[&flags[..], &["--plots", "out/plots"]].concat());
    assert!(output.status.success(), "{output:?}");

    let page = runs.read("out/report.html");
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(references(&page), Vec::<&str>::new());
    assert!(page.contains("First &amp; &lt;best&gt;") && !page.contains("<best>"));
    for said in
        ["Not all answers were checked", "No error", "of its core", "open loop", "closed loop"]
    {
        assert!(page.contains(said), "{said}");
    }
    for condition in ["kernel", "cpus", "memory", "data disk", "generator", "command", "rate"] {
        assert!(page.contains(&format!(">{condition}</th>")), "{condition}");
    }
    let drawings = drawings(&page);
    assert_eq!(drawings.len(), 8);
    for drawing in drawings {
        let document = roxmltree::Document::parse(drawing).unwrap();
        let text: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
        assert!(text.contains(&"closed") && text.contains(&"First & <best>"), "{text:?}");
    }

    for operation in ["read", "write"] {
        for (name, title) in [
            ("percentiles", "Latency by percentile"),
            ("throughput", "Throughput over time"),
            ("worst-latency", "Worst latency over time"),
            ("histogram", "Distribution"),
        ] {
            let svg = runs.path(&format!("out/plots/{name}-{operation}.svg"));
            check_plot(&svg, &format!("{title}: {operation}"));
        }
    }
}

#[test]
fn a_scenario_that_looks_at_10_ms_has_a_plot_of_them() {
    let runs = Runs { directory: TempDir::new().unwrap() };
    let echo = Echo::start(&[]);
    let mut command = bench();
    command.args(["snapshot", "--unchecked", "--servers", &echo.address, "--nodes", "50"]);
    command.args(["--connections", "2", "--seconds", "0.3", "--warm-up", "0", "--json"]);
    let output = command.arg(runs.path("snapshot.json")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = runs.report(&["snapshot.json", "--html", "page.html", "--plots", "."]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(drawings(&runs.read("page.html")).len(), 7);
    check_plot(&runs.path("worst-of-10ms.svg"), "Worst latency of every 10 ms");
}

#[test]
fn one_run_becomes_a_page_pictures_and_histograms() {
    let runs = Runs::record();
    let flags = ["open.json", "--html", "one.html", "--plots", ".", "--histograms", "."];
    let output = runs.report(&flags);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(drawings(&runs.read("one.html")).len(), 5);
    for (name, title) in [
        ("percentiles", "Latency by percentile"),
        ("throughput", "Throughput over time"),
        ("worst-latency", "Worst latency over time"),
        ("histogram-read", "Distribution: read"),
        ("histogram-write", "Distribution: write"),
    ] {
        check_plot(&runs.path(&format!("{name}.svg")), title);
    }

    let json: Value = serde_json::from_str(&runs.read("open.json")).unwrap();
    let log = runs.read("open.hlog");
    for operation in ["read", "write"] {
        let measured = &json["operations"][operation];
        let count = measured["count"].as_u64().unwrap();
        let percentiles = runs.read(&format!("open-{operation}.hgrm"));
        assert!(percentiles.contains(&format!("Total count    = {count:>12}]")), "{percentiles}");
        let worst_ms = |line: &str| line[..12].trim().parse::<f64>().unwrap();
        let last = percentiles.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let max_ms = measured["latency_us"]["max"].as_f64().unwrap() / 1000.0;
        assert!((worst_ms(last) - max_ms).abs() < 0.002, "{last} {max_ms}");

        let intervals = IntervalLogIterator::new(log.as_bytes()).filter_map(|entry| {
            let LogEntry::Interval(interval) = entry.unwrap() else { return None };
            let mine = interval.tag().is_some_and(|tag| tag.as_str() == operation);
            mine.then(|| interval.start_timestamp().as_secs())
        });
        assert_eq!(intervals.collect::<Vec<_>>(), [0, 1], "1.2 s are two intervals");
    }
}

#[test]
fn a_comparison_keeps_the_runs_that_it_is_made_of() {
    let runs = Runs { directory: TempDir::new().unwrap() };
    let echo = Echo::start(&[]);
    let side = format!("{}@{}", echo.address, echo.pid());
    let mut command = bench();
    command.args(["compare", "--pairs", "1", "--a", &side, "--b", &side, "--keep", "kept"]);
    command.args(["--", "mixed", "--unchecked", "--connections", "2", "--keys", "20"]);
    command.args(["--seconds", "0.2", "--warm-up", "0"]).current_dir(runs.directory.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = runs.report(&["kept/a-1.json", "kept/b-1.json", "--html", "page.html"]);
    assert!(output.status.success(), "{output:?}");
    assert!(runs.read("page.html").contains("a-1"));
}

#[test]
fn what_is_no_run_is_refused_with_its_name() {
    let directory = TempDir::new().unwrap();
    let runs = Runs { directory };
    fs::write(runs.path("bad.json"), "{\"scenario\": 5}").unwrap();
    for name in ["bad.json", "missing.json"] {
        let output = runs.report(&[name, "--html", "page.html"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(name), "{text}");
        assert!(!runs.path("page.html").exists());
    }
}

#[test]
fn a_report_needs_runs_and_somewhere_to_go() {
    let runs = Runs { directory: TempDir::new().unwrap() };
    for (flags, missing) in
        [(["--html", "page.html"], "FILE"), (["run.json", "--title=x"], "--html")]
    {
        let output = runs.report(&flags);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(missing), "{text}");
    }
}
