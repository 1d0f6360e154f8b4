//! The rows as text in columns: a line for each server, numbers to the right.
//!
//! For people: what was not told is `-`, and versions lose what identifies a build. Programs read
//! the JSON.

use super::{Lag, Row};

const NOT_TOLD: &str = "-";

/// Title of each column, and whether it holds numbers.
const COLUMNS: [(&str, bool); 11] = [
    ("ADDRESS", false),
    ("ROLE", false),
    ("EPOCH", true),
    ("ZXID", true),
    ("LAG", true),
    ("SESSIONS", true),
    ("CONNECTIONS", true),
    ("LATENCY MS", true),
    ("NODES", true),
    ("VERSION", false),
    ("NOTE", false),
];

type Cells = [String; COLUMNS.len()];

/// The table with its title line, each line ended.
pub(super) fn render(rows: &[Row]) -> String {
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    let lines: Vec<Cells> = std::iter::once(titles).chain(rows.iter().map(cells)).collect();
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(|column| {
        let widths = lines.iter().map(|cells| cells[column].chars().count());
        widths.max().unwrap_or_default()
    });
    lines.iter().map(|cells| line(cells, &widths)).collect()
}

fn line(cells: &Cells, widths: &[usize; COLUMNS.len()]) -> String {
    let columns = cells.iter().zip(widths).zip(COLUMNS);
    let aligned =
        columns.map(
            |((cell, &width), (_, number))| {
                if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            },
        );
    let line = aligned.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

fn cells(row: &Row) -> Cells {
    [
        row.address.clone(),
        told(row.role),
        told(row.epoch),
        told(row.zxid_counter),
        match row.lag {
            Lag::Zxids(behind) => behind.to_string(),
            Lag::OtherEpoch => "other epoch".to_owned(),
            Lag::None => NOT_TOLD.to_owned(),
        },
        told(row.sessions),
        told(row.connections),
        latency(row).unwrap_or_else(|| NOT_TOLD.to_owned()),
        told(row.nodes),
        told(row.version.as_deref().map(release)),
        row.note.clone().unwrap_or_default(),
    ]
}

fn told(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| NOT_TOLD.to_owned(), |figure| figure.to_string())
}

/// Least, mean and most.
fn latency(row: &Row) -> Option<String> {
    let (min, avg, max) = (row.latency_ms_min?, row.latency_ms_avg?, row.latency_ms_max?);
    Some(format!("{min}/{avg:.2}/{max}"))
}

/// Apache's version goes on with the commit and the time of the build.
fn release(version: &str) -> &str {
    const COMMIT_DIGITS: usize = 40;
    let build = version.split(',').next().unwrap_or(version);
    match build.rsplit_once('-') {
        Some((release, commit))
            if commit.len() == COMMIT_DIGITS && commit.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            release
        }
        _ => build,
    }
}

#[cfg(test)]
mod tests {
    use menagerie_wire::{Epoch, Zxid};

    use super::super::{Answer, Figures, ProbeError, Report};
    use super::*;
    use crate::admin::Mode;

    fn member(mode: Mode, counter: u32) -> Figures {
        Figures {
            mode: Some(mode),
            zxid: Some(Zxid::new(Epoch(3), counter)),
            connections: Some(12),
            latency_ms_min: Some(0),
            latency_ms_avg: Some(0.2518),
            latency_ms_max: Some(31),
            nodes: Some(1_204),
            version: Some("3.9.4".to_owned()),
            ..Figures::default()
        }
    }

    #[test]
    fn columns_are_aligned_and_nothing_told_is_a_dash() {
        let leader = Figures {
            sessions: Some(9),
            synced_followers: Some(1),
            ..member(Mode::Leader, 48_213)
        };
        let note = Some("mntr is not whitelisted".to_owned());
        let answers = vec![
            Ok(Answer { figures: leader, note: None }),
            Ok(Answer { figures: member(Mode::Follower, 48_211), note }),
            Err(ProbeError::Refused),
        ];
        let servers = ["zk1:2181", "zk2:2181", "[::1]:2181"].map(str::to_owned);
        let expect = "\
ADDRESS     ROLE      EPOCH   ZXID  LAG  SESSIONS  CONNECTIONS  LATENCY MS  NODES  VERSION  \
NOTE
zk1:2181    leader        3  48213    0         9           12   0/0.25/31   1204  3.9.4    \
synced followers: 1
zk2:2181    follower      3  48211    2         -           12   0/0.25/31   1204  3.9.4    \
mntr is not whitelisted
[::1]:2181  -             -      -    -         -            -           -      -  -        \
refuses connections
";
        assert_eq!(Report::of(&servers, answers).to_string(), expect);
    }

    #[test]
    fn versions_lose_what_identifies_the_build() {
        let check = |version: &str, expect| assert_eq!(release(version), expect);
        let commit = "7246445ec281f3dbf53dc54e970c914f39713903";
        check(&format!("3.9.4-{commit}, built on 2025-08-19 19:53 UTC"), "3.9.4");
        check("3.9.4-menagerie-0.1.0", "3.9.4-menagerie-0.1.0");
        check("3.5.0-alpha--1, built on 07/11/2014", "3.5.0-alpha--1");
        check("", "");
    }
}
