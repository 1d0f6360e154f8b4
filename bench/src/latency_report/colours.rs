//! The colours of plots and page, each light and dark, and the rules that use them.
//!
//! The colours of series are those of Okabe and Ito, which people with any kind of colour vision
//! tell apart; for a dark ground they are the same hues, lighter.

/// Series with a colour of their own.
pub(super) const SERIES: usize = 7;

const COLOURS: [(&str, &str, &str); 15] = [
    ("ground", "#ffffff", "#15181c"),
    ("panel", "#f5f6f8", "#1d2126"),
    ("ink", "#1b1f24", "#e8eaed"),
    ("muted", "#5c6670", "#a3adb8"),
    ("grid", "#e3e6ea", "#2c323a"),
    ("base", "#8a949e", "#6b7580"),
    ("good", "#00664a", "#4fd0a5"),
    ("bad", "#b03a00", "#ff9a66"),
    ("s0", "#0072b2", "#5aaee8"),
    ("s1", "#d55e00", "#ff8f4a"),
    ("s2", "#009e73", "#35c99d"),
    ("s3", "#b65a92", "#e59ac8"),
    ("s4", "#c98a00", "#f5c04a"),
    ("s5", "#56b4e9", "#a3d8f7"),
    ("s6", "#4a4a4a", "#c8c8c8"),
];

const PLOT_RULES: &str = include_str!("plot.css");
const PAGE_RULES: &str = include_str!("page.css");

/// For the page: colours by name, and the rules of plots and page.
pub(super) fn stylesheet_of_page() -> String {
    let names = |shade: fn(&(&str, &'static str, &'static str)) -> &'static str| {
        let lines = COLOURS.iter().map(|colour| format!("--{}:{};", colour.0, shade(colour)));
        lines.collect::<String>()
    };
    let (light, dark) = (names(|colour| colour.1), names(|colour| colour.2));
    format!(
        ":root{{color-scheme:light dark;{light}}}\n\
         @media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n\
         {PLOT_RULES}{PAGE_RULES}"
    )
}

/// For a plot on its own: the rules with light colours in place of names, as not every program
/// that shows SVG knows names.
pub(super) fn stylesheet_of_light() -> String {
    let mut rules = PLOT_RULES.to_owned();
    for (name, light, _) in COLOURS {
        rules = rules.replace(&format!("var(--{name})"), light);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_on_its_own_names_no_colour_that_it_does_not_bring() {
        assert!(!stylesheet_of_light().contains("var("), "{}", stylesheet_of_light());
    }
}
