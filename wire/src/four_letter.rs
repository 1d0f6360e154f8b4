//! The four-letter words: short probes that stand where a frame length is expected.
//!
//! They are recognised only as the first four bytes of a connection. Facts: ZooKeeper
//! `FourLetterCommands`; `hist` is our own. What each answers is the server's business.

macro_rules! words {
    ($($name:ident = $word:literal,)*) => {
        /// A command by its word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FourLetterWord {
            $($name,)*
        }

        impl FourLetterWord {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The command that these first bytes of a connection are, if any.
            pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
                match &bytes {
                    $(bytes if *bytes == $word.as_bytes() => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The word as text, as whitelists name it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

words! {
    Conf = "conf",
    Cons = "cons",
    Crst = "crst",
    Dirs = "dirs",
    Dump = "dump",
    Envi = "envi",
    Gtmk = "gtmk",
    Hash = "hash",
    Hist = "hist",
    Isro = "isro",
    Mntr = "mntr",
    Ruok = "ruok",
    Srst = "srst",
    Srvr = "srvr",
    Stat = "stat",
    Stmk = "stmk",
    Wchc = "wchc",
    Wchp = "wchp",
    Wchs = "wchs",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_only() {
        assert_eq!(FourLetterWord::from_bytes(*b"ruok"), Some(FourLetterWord::Ruok));
        assert_eq!(FourLetterWord::from_bytes(*b"RUOK"), None);
        assert_eq!(FourLetterWord::from_bytes([0, 0, 0, 44]), None);
    }
}
