//! Numbers as people read them: three digits and a unit.

/// A latency: `850 ns`, `1.24 ms`.
pub(super) fn latency(ns: f64) -> String {
    let (value, unit) = if ns < 1e3 {
        (ns, "ns")
    } else if ns < 1e6 {
        (ns / 1e3, "µs")
    } else if ns < 1e9 {
        (ns / 1e6, "ms")
    } else {
        (ns / 1e9, "s")
    };
    format!("{} {unit}", three_digits(value))
}

/// A count or rate: `950`, `12.5 k`, `3 M`.
pub(super) fn count(value: f64) -> String {
    if value < 1e3 {
        three_digits(value)
    } else if value < 1e6 {
        format!("{} k", three_digits(value / 1e3))
    } else {
        format!("{} M", three_digits(value / 1e6))
    }
}

/// A part of a whole: `12.5%`, `0.001%`.
pub(super) fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if percent >= 0.1 || percent == 0.0 {
        return format!("{}%", three_digits(percent));
    }
    let digits = (-percent.log10()).ceil() as usize;
    format!("{percent:.digits$}%")
}

/// The number with thousands apart: `1 234 567`.
pub(super) fn exact(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// 1024 bytes are a KiB.
pub(super) fn bytes(value: f64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{} {}", three_digits(scaled), units[unit])
}

fn three_digits(value: f64) -> String {
    let decimals = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        let check = |text: String, expect: &str| assert_eq!(text, expect);
        check(latency(850.0), "850 ns");
        check(latency(1_236.0), "1.24 µs");
        check(latency(20_000_000.0), "20 ms");
        check(latency(1.5e9), "1.5 s");
        check(count(0.0), "0");
        check(count(12_500.0), "12.5 k");
        check(count(3e6), "3 M");
        check(percent(0.5), "50%");
        check(percent(0.0001), "0.01%");
        check(percent(0.000_001), "0.0001%");
        check(exact(1_234_567), "1\u{202f}234\u{202f}567");
        check(exact(12), "12");
        check(bytes(1536.0), "1.5 KiB");
        check(bytes(24e9), "22.4 GiB");
    }
}
