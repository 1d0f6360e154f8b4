//! The settings that were given, by key, before anything is known about their meaning.
//!
//! Three places may give one: `SERVER_JVMFLAGS`, the file, the command line; a later place replaces
//! an earlier one (in Apache, too, a line of the file replaces the system property of its name).
//! Reading a key takes it out, so that what is left at the end is what nobody asked for.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use super::error::{ConfigError, Origin};
use super::properties;

/// Apache reads most keys as system properties of this prefix; both forms mean the same here.
const PREFIX: &str = "zookeeper.";

#[derive(Clone)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) origin: Origin,
}

impl Setting {
    /// The error that says what `key` should have been.
    pub(super) fn refuse(self, key: &str, expected: impl Into<String>) -> ConfigError {
        let Self { value, origin } = self;
        ConfigError::Value { origin, key: key.to_owned(), value, expected: expected.into() }
    }
}

#[derive(Default)]
pub(super) struct Settings {
    by_key: BTreeMap<String, Setting>,
}

impl Settings {
    /// Sets `key`, with or without the prefix, whatever it was before.
    pub(super) fn set(&mut self, key: &str, value: &str, origin: Origin) {
        let key = key.strip_prefix(PREFIX).unwrap_or(key).to_owned();
        self.by_key.insert(key, Setting { value: value.to_owned(), origin });
    }

    /// Reads the `-Dname=value` words out of `flags`; other words are a JVM's own business.
    pub(super) fn set_jvm_flags(&mut self, flags: &str) {
        for word in flags.split_whitespace() {
            if let Some((key, value)) =
                word.strip_prefix("-D").and_then(|word| word.split_once('='))
            {
                self.set(key, value, Origin::JvmFlags);
            }
        }
    }

    pub(super) fn set_file(&mut self, file: &Path, bytes: &[u8]) -> Result<(), ConfigError> {
        let properties = properties::parse(bytes).map_err(|malformed| {
            ConfigError::MalformedEscape { file: file.to_owned(), line: malformed.line }
        })?;
        for property in properties {
            let origin = Origin::File { file: file.to_owned(), line: property.line };
            self.set(&property.key, &property.value, origin);
        }
        Ok(())
    }

    /// A look at a setting that is still to be read.
    pub(super) fn clone_of(&self, key: &str) -> Option<Setting> {
        self.by_key.get(key).cloned()
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Setting> {
        self.by_key.remove(key)
    }

    /// Takes every key that begins with `prefix`, in the order of their names.
    pub(super) fn take_prefix(&mut self, prefix: &str) -> Vec<(String, Setting)> {
        self.by_key.extract_if(.., |key, _| key.starts_with(prefix)).collect()
    }

    /// Gives back what was taken and turned out to be somebody else's.
    pub(super) fn put_back(&mut self, key: String, setting: Setting) {
        self.by_key.insert(key, setting);
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.take(key).map(|setting| setting.value)
    }

    /// A whole number, decimal or 0x-hexadecimal as Java's `Integer.decode`, counting `unit`s.
    pub(super) fn number<T>(
        &mut self,
        key: &str,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> Result<Option<T>, ConfigError>
    where
        T: Copy + FromStr + PartialOrd + TryFrom<i64> + std::fmt::Display,
    {
        let Some(setting) = self.take(key) else { return Ok(None) };
        let parsed = match setting.value.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok().and_then(|n| T::try_from(n).ok()),
            None => setting.value.parse().ok(),
        };
        match parsed.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (low, high) = (range.start(), range.end());
                let expected = format!("a whole number of {unit} from {low} to {high}");
                Err(setting.refuse(key, expected))
            }
        }
    }

    /// `true` or `false` in any case, as Apache's `parseBoolean`.
    pub(super) fn boolean(&mut self, key: &str, default: bool) -> Result<bool, ConfigError> {
        self.choice(key, ["true", "false"], default)
    }

    /// `yes` or `no`: the words of Apache's oldest switches.
    pub(super) fn yes_no(&mut self, key: &str, default: bool) -> Result<bool, ConfigError> {
        self.choice(key, ["yes", "no"], default)
    }

    fn choice(
        &mut self,
        key: &str,
        [on, off]: [&str; 2],
        default: bool,
    ) -> Result<bool, ConfigError> {
        match self.take(key) {
            None => Ok(default),
            Some(setting) if setting.value.eq_ignore_ascii_case(on) => Ok(true),
            Some(setting) if setting.value.eq_ignore_ascii_case(off) => Ok(false),
            Some(setting) => Err(setting.refuse(key, format!("{on} or {off}"))),
        }
    }

    /// The names of what nobody took. Their values may be secrets and are dropped here.
    pub(super) fn into_untaken_keys(self) -> Vec<String> {
        self.by_key.into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set_file(Path::new("zoo.cfg"), text.as_bytes()).expect("well formed");
        settings
    }

    #[test]
    fn a_key_means_the_same_with_and_without_its_prefix() {
        let mut settings = settings("zookeeper.snapCount=7\nsnapCount=8");
        assert_eq!(settings.number("snapCount", 1..=10, "records").ok(), Some(Some(8)));
        assert!(settings.into_untaken_keys().is_empty());
    }

    #[test]
    fn the_file_replaces_what_the_jvm_flags_say() {
        let mut settings = Settings::default();
        settings.set_jvm_flags("-Xmx1g -Dzookeeper.snapCount=7 -Djute.maxbuffer=0xff -Dalone");
        settings.set_file(Path::new("zoo.cfg"), b"snapCount=9").expect("well formed");
        assert_eq!(settings.text("snapCount").as_deref(), Some("9"));
        let bytes = settings.number("jute.maxbuffer", 0..=1_000, "bytes");
        assert_eq!(bytes.ok(), Some(Some(255)));
        assert!(settings.into_untaken_keys().is_empty());
    }

    #[test]
    fn a_bad_value_is_refused_with_its_place_and_what_was_expected() {
        let check = |text: &str, expect: &str| {
            let error = settings(text).number("n", 1..=10, "ticks").expect_err("out of range");
            assert_eq!(error.to_string(), expect);
        };
        let expected = "expected a whole number of ticks from 1 to 10";
        check("\nn=11", &format!("zoo.cfg:2: n=11: {expected}"));
        check("n=ten", &format!("zoo.cfg:1: n=ten: {expected}"));
        check("n", &format!("zoo.cfg:1: n=: {expected}"));
        let error = settings("skipACL=true").yes_no("skipACL", false).expect_err("not a yes");
        assert_eq!(error.to_string(), "zoo.cfg:1: skipACL=true: expected yes or no");
    }
}
