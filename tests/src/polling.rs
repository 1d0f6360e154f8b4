//! Asking again and again: for what tells nobody when it is ready.

use std::time::{Duration, Instant};

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(10);

/// Asks until there is an answer; `None` when none came within `time_max`.
pub fn poll<T>(time_max: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time_max;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_until_there_is_an_answer_or_no_time_left() {
        let mut asked = 0;
        let third = || {
            asked += 1;
            (asked == 3).then_some(asked)
        };
        assert_eq!(poll(Duration::from_secs(20), third), Some(3));
        assert_eq!(poll(Duration::ZERO, || None::<()>), None);
    }
}
