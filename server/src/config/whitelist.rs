//! Which four-letter words may be executed.

use menagerie_wire::four_letter::FourLetterWord;

/// The value of `4lw.commands.whitelist`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whitelist(Vec<FourLetterWord>);

impl Whitelist {
    /// Reads a list of words parted by commas; `*` stands for all, an empty list for none.
    ///
    /// # Errors
    /// The item that is no word.
    // ZooKeeper: FourLetterCommands.isEnabled, which only logs such an item.
    pub(super) fn parse(list: &str) -> Result<Self, &str> {
        let mut words = Vec::new();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match FourLetterWord::ALL.iter().find(|word| word.as_str() == item) {
                _ if item == "*" => words.extend_from_slice(FourLetterWord::ALL),
                Some(&word) => words.push(word),
                None => return Err(item),
            }
        }
        Ok(Self(words))
    }

    pub fn allows(&self, word: FourLetterWord) -> bool {
        self.0.contains(&word)
    }
}

/// `srvr` alone, as in Apache since 3.5.3.
impl Default for Whitelist {
    fn default() -> Self {
        Self(vec![FourLetterWord::Srvr])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names() {
        let check = |list: &str, word, allowed| {
            let whitelist = Whitelist::parse(list).expect("only words");
            assert_eq!(whitelist.allows(word), allowed, "{list:?} {word:?}");
        };
        check("ruok, stat", FourLetterWord::Stat, true);
        check("ruok,stat", FourLetterWord::Srvr, false);
        check("*", FourLetterWord::Wchc, true);
        check("", FourLetterWord::Srvr, false);
        assert!(Whitelist::default().allows(FourLetterWord::Srvr));
        assert!(!Whitelist::default().allows(FourLetterWord::Ruok));
        assert_eq!(Whitelist::parse("ruok,RUOK"), Err("RUOK"));
    }
}
