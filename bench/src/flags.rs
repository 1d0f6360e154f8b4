//! Values of flags that several scenarios take.

use clap::ValueEnum;

/// A length of time.
pub fn seconds(text: &str) -> Result<f64, String> {
    within(text, 0.0, 1e6)
}

/// The pace of an open loop.
pub fn per_second(text: &str) -> Result<f64, String> {
    within(text, 0.001, 1e8)
}

/// An exponent; above 10 all but the first key are never drawn.
pub fn skew(text: &str) -> Result<f64, String> {
    within(text, 0.0, 10.0)
}

/// The word that stands for `value` on the command line.
pub fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The words that stand for `values` on the command line.
pub fn names_of<V: ValueEnum + Copy>(values: &[V]) -> String {
    let names: Vec<_> = values.iter().map(|value| name_of(*value)).collect();
    names.join(",")
}

fn within(text: &str, min: f64, max: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    let legal = (min..=max).contains(&number);
    legal.then_some(number).ok_or_else(|| format!("{text} is not within {min} to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(seconds("0"), Ok(0.0));
        assert_eq!(per_second("2.5"), Ok(2.5));
        for text in ["", "x", "-1", "NaN", "inf", "1e9"] {
            assert!(seconds(text).is_err() && per_second(text).is_err(), "{text}");
        }
        assert!(per_second("0").is_err());
    }
}
