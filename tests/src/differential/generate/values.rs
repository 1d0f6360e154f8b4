//! What the fields of random requests hold: paths, data, versions, flags, access lists. Mostly
//! plain and from a small set, sometimes odd.

use super::Generator;
use crate::differential::script::{AclEntry, Field};

impl Generator {
    pub(super) fn flags(&mut self) -> i32 {
        self.random.weighted(&[
            (40, 0),
            (16, 1),
            (18, 2),
            (12, 3),
            (5, 4),
            (2, 5),
            (2, 6),
            (2, 7),
            (1, -1),
            (1, 256),
        ])
    }

    pub(super) fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.random.below(words.len())]
    }

    pub(super) fn data(&mut self) -> Field {
        Field::Data(match self.random.below(20) {
            0 => None,
            1..4 => Some(Vec::new()),
            4 => Some(vec![b'x'; 1 + self.random.below(2000)]),
            _ => Some(vec![*self.random.pick(b"abc"); 1 + self.random.below(12)]),
        })
    }

    /// The versions of special nodes depend on the runs before; a script must not.
    pub(super) fn version(&mut self, path: &Field) -> Field {
        if path.is_special() {
            return Field::Int(*self.random.pick(&[-1, i32::MAX]));
        }
        let versions = [(40, -1), (20, 0), (15, 1), (8, 2), (5, 3), (3, -2), (1, i32::MAX)];
        Field::Int(self.random.weighted(&versions))
    }

    pub(super) fn acl(&mut self) -> Field {
        let entry = |perms, scheme: &str, id: &str| AclEntry {
            perms,
            scheme: Some(scheme.to_owned()),
            id: Some(id.to_owned()),
        };
        let anyone = entry(31, "world", "anyone");
        let alice = "alice:V55/p2T0OpjQ+low3NVAH4aLvm0=";
        let perms = *self.random.pick(&[31, 1, 2, 4, 8, 16, 27, 0, 64]);
        Field::Acl(Some(match self.random.below(60) {
            0..36 => vec![anyone],
            36..39 => vec![entry(perms, "world", "anyone")],
            39..43 => vec![entry(31, "auth", "")],
            43 => vec![entry(perms, "auth", "ignored"), anyone],
            44..46 => vec![entry(perms, "digest", alice)],
            46 => vec![entry(1, "digest", alice), entry(30, "digest", "bob:x"), anyone],
            47 => vec![entry(31, "ip", "127.0.0.1")],
            48 => vec![entry(perms, "ip", self.word(&["127.0.0.0/8", "0.0.0.0/0"]))],
            49 => vec![entry(31, "ip", self.word(&["10.0.0.1", "::1", "2001:db8::/32"]))],
            50 => vec![entry(31, "ip", self.odd_ip())],
            51 => vec![anyone.clone(), anyone, entry(1, "world", "anyone")],
            52 => vec![entry(31, "world", "someone")],
            53 => {
                vec![entry(31, "digest", self.word(&["", ":", "a", "a:", ":b", "a:b:c", "a:b:"]))]
            }
            54 => vec![entry(31, self.word(&["super", "sasl", "x509", "nonesuch", ""]), "x")],
            55 => vec![AclEntry { perms, scheme: None, id: Some("x".to_owned()) }],
            56 => vec![AclEntry { perms, scheme: Some("world".to_owned()), id: None }],
            57 => return Field::Acl(None),
            _ => Vec::new(),
        }))
    }

    fn odd_ip(&mut self) -> &'static str {
        self.word(&[
            "1.2.3",
            "::/129",
            "x",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3.4/-1",
            "/8",
            "",
            "1.2.3.4/8/8",
            "01.2.3.4",
            "1.2.3.256",
            "1.2.3.4.5",
            "127.1",
            " 1.2.3.4",
            "1.2.3.4/+8",
            "1.2.3.4/08",
            "::1/128",
            "::ffff:1.2.3.4",
            "fe80::1%lo",
            "[::1]",
            "1::2::3",
            ":::",
            "12345::",
            "::/0",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "1:2:3:4:5:6:7:8:9",
            "::1.2.3.4",
            "localhost",
        ])
    }

    pub(super) fn path(&mut self) -> Field {
        match self.random.below(100) {
            0..2 => Field::Text(None),
            2..10 => Field::Text(Some(self.odd_path())),
            _ => Field::Text(Some(self.plain_path())),
        }
    }

    /// A path that a sequence number is appended to.
    pub(super) fn prefix(&mut self) -> Field {
        let last = self.word(&["", "/", "/s-", "/s-", "/s-", "/.", "/t"]);
        let parent = self.plain_path();
        Field::Text(Some(format!("{parent}{last}")))
    }

    pub(super) fn plain_path(&mut self) -> String {
        let depth = self.random.weighted(&[(10, 0), (50, 1), (28, 2), (8, 3)]);
        let mut path = "$".to_owned();
        for _ in 0..depth {
            path.push('/');
            path.push_str(self.word(&["a", "b", "c"]));
        }
        if self.random.chance(5) {
            path.push_str(&format!("/s-{:010}", self.random.below(5)));
        }
        path
    }

    pub(super) fn odd_path(&mut self) -> String {
        let paths = [
            "",
            "/",
            "//",
            "x",
            "x/y",
            "$/",
            "$//a",
            "$/a/",
            "$/a//b",
            "$/.",
            "$/..",
            "$/.x",
            "$/...",
            "$/a/./b",
            "$/a/../b",
            "$x",
            "$ /b",
            "$/ ",
            "$/\0",
            "$/a\u{1}",
            "$/\u{7f}",
            "$/é",
            "$/\u{a0}",
            "$/\u{e000}",
            "$/\u{f8ff}",
            "$/\u{f900}",
            "$/\u{fff0}",
            "$/😀",
            "$/漢",
            "/zookeeper",
            "/zookeeper/quota",
            "/zookeeper/quota$",
            "/missing/x",
        ];
        if !self.supers && self.random.chance(5) {
            return "/zookeeper/config".to_owned();
        }
        self.word(&paths).to_owned()
    }
}
