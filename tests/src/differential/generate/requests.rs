//! One random request of each family, well-formed or nearly so.

use super::Generator;
use crate::differential::control::{SUPER, text};
use crate::differential::script::{AclEntry, Field, Part, Request};
use crate::random::Random;

const TTL_MS_MAX: i64 = (1 << 40) - 1;

impl Generator {
    pub(super) fn create(&mut self) -> Request {
        let op = self.random.weighted(&[(45, 1), (35, 15), (8, 19), (12, 21)]);
        let flags = match op {
            21 => self.random.weighted(&[(10, 5), (8, 6), (1, 0), (1, 2)]),
            _ => self.flags(),
        };
        Request::new(op, self.create_fields(op, flags))
    }

    fn create_fields(&mut self, op: i32, flags: i32) -> Vec<Field> {
        // To a write judged before it is applied, such a container is ephemeral on Apache's server.
        let flags = if op == 19 && self.judged_early { flags & !1 } else { flags };
        let path = if matches!(flags, 2 | 3 | 6) { self.prefix() } else { self.path() };
        let mut fields = vec![path, self.data(), self.acl(), Field::Int(flags)];
        if op == 21 {
            let ttls = [1, 60_000, 3_600_000, TTL_MS_MAX, TTL_MS_MAX + 1, 0, -1, i64::MIN];
            fields.push(Field::Long(*self.random.pick(&ttls)));
        }
        fields
    }

    pub(super) fn delete(&mut self) -> Vec<Field> {
        let path = self.path();
        let version = self.version(&path);
        vec![path, version]
    }

    pub(super) fn set_data(&mut self) -> Vec<Field> {
        let path = self.path();
        let version = self.version(&path);
        vec![path, self.data(), version]
    }

    pub(super) fn set_acl(&mut self) -> Vec<Field> {
        let path = self.path();
        let version = self.version(&path);
        vec![path, self.acl(), version]
    }

    pub(super) fn read(&mut self) -> Request {
        let op = *self.random.pick(&[3, 3, 4, 4, 8, 12]);
        let watch = *self.random.pick(&[0, 0, 0, 1, 1, 5]);
        Request::new(op, vec![self.path(), Field::Byte(watch)])
    }

    pub(super) fn echo(&mut self) -> Request {
        if self.random.chance(50) {
            return Request::new(11, Vec::new());
        }
        // Apache's server echoes a character of four bytes as two surrogates, which is no UTF-8.
        match self.path() {
            Field::Text(Some(path)) => Request::new(9, vec![text(&path.replace('😀', "é"))]),
            path => Request::new(9, vec![path]),
        }
    }

    pub(super) fn multi(&mut self) -> Field {
        let count = self.random.below(6);
        let mut parts: Vec<_> = (0..count)
            .map(|_| {
                let op = self.random.weighted(&[
                    (30, 1),
                    (15, 15),
                    (5, 19),
                    (5, 21),
                    (18, 2),
                    (22, 5),
                    (18, 13),
                    (1, 4),
                    (1, 7),
                    (1, 20),
                ]);
                let fields = self.judged_early(|generator| generator.part_fields(op));
                Part { op, done: false, fields }
            })
            .collect();
        self.end(&mut parts);
        Field::Parts(parts)
    }

    pub(super) fn part_fields(&mut self, op: i32) -> Vec<Field> {
        match op {
            // A plain node with a ttl is the poison named in `deviations`.
            21 => {
                let flags = *self.random.pick(&[5, 6]);
                self.create_fields(op, flags)
            }
            1 | 15 | 19 => {
                let flags = self.flags();
                self.create_fields(op, flags)
            }
            2 | 13 => self.delete(),
            5 => self.set_data(),
            4 | 8 => vec![self.path(), Field::Byte(1)],
            7 => self.set_acl(),
            _ => vec![self.path()],
        }
    }

    pub(super) fn multi_read(&mut self) -> Field {
        let count = self.random.below(5);
        let mut parts: Vec<_> = (0..count)
            .map(|_| {
                let op = self.random.weighted(&[(20, 4), (20, 8), (1, 3), (1, 2)]);
                let mut fields = self.part_fields(op);
                // Apache's server answers what stands before a null path; clients do not look.
                if fields[0] == Field::Text(None) {
                    fields[0] = text("$");
                }
                Part { op, done: false, fields }
            })
            .collect();
        self.end(&mut parts);
        Field::Parts(parts)
    }

    fn end(&mut self, parts: &mut Vec<Part>) {
        if !self.random.chance(3) {
            parts.push(Part { op: -1, done: true, fields: Vec::new() });
        }
    }

    pub(super) fn watch(&mut self) -> Request {
        let op = *self.random.pick(&[106, 106, 106, 17, 18]);
        let kind = match op {
            106 => self.random.weighted(&[(10, 0), (12, 1), (1, 2), (1, -1)]),
            _ => self.random.weighted(&[(4, 1), (4, 2), (4, 3), (3, 4), (3, 5), (1, 0), (1, 9)]),
        };
        // Apache's server keeps a watch on a null path, which nothing can fire.
        let path = match self.path() {
            Field::Text(None) if op != 106 => text("$"),
            path => path,
        };
        Request::new(op, vec![path, Field::Int(kind)])
    }

    pub(super) fn set_watches(&mut self) -> Request {
        let (op, lists) = *self.random.pick(&[(101, 3), (105, 5)]);
        let since = match self.random.below(6) {
            0 => Field::Long(0),
            1 => Field::Long(i64::MAX),
            2 => Field::SeenZxid(0),
            _ => Field::SeenZxid(-(self.random.below(12) as i64)),
        };
        let mut fields = vec![since];
        // Apache's server works through the lists before it notices that one of them is null.
        let null = self.random.chance(3);
        for _ in 0..lists {
            let count = self.random.below(4);
            let paths = (0..count).map(|_| self.plain_path()).collect();
            fields.push(Field::Texts((!null).then_some(paths)));
        }
        Request::new(op, fields)
    }

    pub(super) fn auth(&mut self) -> Request {
        if self.random.chance(10) {
            let token = if self.random.chance(80) { Some(b"token".to_vec()) } else { None };
            return Request::new(102, vec![Field::Data(token)]);
        }
        let word = |word: &str| Some(word.to_owned());
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        let (scheme, data) = match self.random.below(40) {
            0..15 => (word("digest"), bytes("alice:pw")),
            15..26 => (word("digest"), bytes("bob:pw")),
            26..30 if self.supers => (word("digest"), bytes(SUPER)),
            30 => (word("digest"), bytes("super:wrong")),
            31 => (word("digest"), bytes("")),
            32 => (word("digest"), bytes("nocolon")),
            33 => (word("digest"), None),
            34 => (word("world"), bytes("anyone")),
            35 => (word("nonesuch"), bytes("x")),
            36 => (None, bytes("x")),
            _ => (word("ip"), bytes("anything")),
        };
        Request::new(100, vec![Field::Int(0), Field::Text(scheme), Field::Data(data)])
    }

    pub(super) fn listing(&mut self) -> Request {
        let op = *self.random.pick(&[103, 103, 104, 107]);
        if op == 107 {
            return Request::new(op, Vec::new());
        }
        // The special nodes above the run hold what other sessions may be creating just now.
        let path = match self.random.below(6) {
            0 if op == 103 => text("/"),
            1 => text("$"),
            2 => Field::Text(None),
            _ => self.path(),
        };
        Request::new(op, vec![path])
    }

    pub(super) fn quota(&mut self) -> Request {
        let node = self.word(&["", "/a", "/b"]);
        let path = format!("/zookeeper/quota${node}");
        let limits = [
            "count=5,bytes=100",
            "count=-1,bytes=-1=;byteHardLimit=60;countHardLimit=4",
            "count=2,bytes=10=;byteHardLimit=-1;countHardLimit=6",
            "bytes=20,count=3",
            "count=3",
            "count=3,bytes=",
            "count=x,bytes=9",
            "count= 3, bytes=9",
            "bytes=9;count=3;",
            "count=3=bytes=9",
            "byteHardLimit=9,other=1,count=2",
            "nonsense",
            "",
        ];
        let limits = Field::Data(Some(self.word(&limits).as_bytes().to_vec()));
        let anyone = Field::Acl(Some(vec![AclEntry::anyone()]));
        let at = |leaf: &str| text(&format!("{path}{leaf}"));
        match self.random.below(10) {
            0..3 => Request::new(1, vec![at(""), Field::Data(None), anyone, Field::Int(0)]),
            3..5 => Request::new(1, vec![at("/zookeeper_limits"), limits, anyone, Field::Int(0)]),
            5..7 => Request::new(1, vec![at("/zookeeper_stats"), limits, anyone, Field::Int(0)]),
            7 => Request::new(5, vec![at("/zookeeper_limits"), limits, Field::Int(-1)]),
            8 => Request::new(4, vec![at("/zookeeper_stats"), Field::Byte(0)]),
            _ => Request::new(2, vec![at("/zookeeper_limits"), Field::Int(-1)]),
        }
    }

    pub(super) fn odd(&mut self) -> Request {
        let ops = [0, 10, 13, 20, 23, 99, 108, -1, -2, -10, 16, 16, 1, 2, 5, 14, 22, 101, 106];
        let op = *self.random.pick(&ops);
        let body = match op {
            13 | 20 => self.delete(),
            -10 => vec![Field::Int(70_000)],
            16 => {
                vec![text("server.2=h:1:2"), text("3"), Field::Text(None), Field::Long(-1)]
            }
            _ => {
                // Too short for a multi without operations.
                let len = self.random.below(if op == 14 { 9 } else { 24 });
                let byte = |random: &mut Random| *random.pick(&[0, 0, 0, 1, 0xff, b'/', b'a']);
                let mut bytes: Vec<_> = (0..len).map(|_| byte(&mut self.random)).collect();
                // No null path, see `deviations`.
                bytes.first_mut().into_iter().for_each(|first| *first = 0);
                vec![Field::Raw(bytes)]
            }
        };
        Request::new(op, body)
    }
}
