//! Dates as Java prints them: `Fri Nov 20 03:39:27 UTC 2026`.

use std::fmt;

/// Milliseconds since 1970, shown as a date in UTC.
pub(super) struct Utc(pub(super) i64);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_PER_DAY: i64 = 86_400;

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1_000);
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil(days);
        let weekday = DAYS[days.rem_euclid(7) as usize];
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let month = MONTHS[month];
        write!(f, "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }
}

/// Year, month from 0 and day from 1 of a number of days since 1970. Years begin in March here, so
/// that the leap day is a year's last; eras are of 400 years.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_in_java() {
        let check = |ms, expect: &str| assert_eq!(Utc(ms).to_string(), expect);
        check(0, "Thu Jan 01 00:00:00 UTC 1970");
        check(1_795_145_967_999, "Fri Nov 20 03:39:27 UTC 2026");
        check(951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000");
        check(4_107_542_399_000, "Sun Feb 28 23:59:59 UTC 2100");
        check(4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100");
        check(-1, "Wed Dec 31 23:59:59 UTC 1969");
    }
}
