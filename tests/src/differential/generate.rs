//! Random scripts: every opcode, well-formed and not, on a tree so small that operations meet.
//!
//! A few names on a few levels make most requests hit something another request has made. Beside
//! them come the odd paths, flags, versions, ACLs and lengths where a reimplementation goes wrong.
//! A script has a mood: with or without quotas, with or without a super user. Quota scripts do not
//! pipeline, because ZooKeeper judges a quota by the tree of the moment and not by what is under
//! way; nothing writes to `/zookeeper/config` as super, because that spoils Apache's server.

mod values;

use super::control::{SUPER, text};
use super::script::{AclEntry, Action, Claim, Field, Opening, Part, Request, Script, Step};
use crate::random::Random;

const SLOT_COUNT: usize = 3;
const STEP_COUNT_MIN: usize = 20;
const STEP_COUNT_SPREAD: usize = 60;
/// Of scripts. A restart takes as long as many steps.
const RESTART_PERCENT: usize = 5;
const TTL_MS_MAX: i64 = (1 << 40) - 1;

/// The script of a seed.
#[must_use]
pub fn generate(seed: u64) -> Script {
    let mut random = Random::new(seed);
    let (quota, supers) = (random.chance(15), random.chance(25));
    let mut generator = Generator { random, quota, supers, judged_early: false };
    let count = STEP_COUNT_MIN + generator.random.below(STEP_COUNT_SPREAD);
    let mut steps: Vec<_> = (0..count).map(|_| generator.step()).collect();
    if generator.random.chance(RESTART_PERCENT) {
        let action = Action::Restart { kill: generator.random.chance(70) };
        steps.insert(generator.random.below(count), Step { slot: 0, action });
    }
    Script { steps }
}

struct Generator {
    random: Random,
    quota: bool,
    supers: bool,
    judged_early: bool,
}

#[derive(Clone, Copy)]
enum Family {
    Create,
    Delete,
    SetData,
    Read,
    GetAcl,
    SetAcl,
    Echo,
    Multi,
    MultiRead,
    Watch,
    SetWatches,
    Auth,
    Listing,
    Quota,
    Odd,
}

impl Generator {
    fn step(&mut self) -> Step {
        let slot = self.random.below(SLOT_COUNT);
        let action = match self.random.below(1000) {
            0..30 => Action::Open(self.opening()),
            30..40 => Action::Drop,
            40..44 => Action::Frame(self.nonsense()),
            44..56 => Action::Ask(vec![Request::new(-11, Vec::new())]),
            56..120 if !self.quota => Action::Ask(self.burst()),
            _ => Action::Ask(vec![self.request()]),
        };
        Step { slot, action }
    }

    fn opening(&mut self) -> Opening {
        let slot = self.random.below(SLOT_COUNT);
        let claim = self.random.weighted(&[
            (10, Claim::New),
            (10, Claim::Resume(slot)),
            (2, Claim::WrongPassword(slot)),
            (1, Claim::Unknown),
        ]);
        let ahead = self.random.chance(3);
        // A server that refuses with requests unread may reset, and the refusal be lost with that.
        let eager = if claim == Claim::New && !ahead { self.eager() } else { Vec::new() };
        Opening {
            claim,
            protocol: *self.random.pick(&[0, 0, 0, 7, -1]),
            timeout_ms: *self.random.pick(&[0, -1, 100_000, 300_000, i32::MAX]),
            read_only: *self.random.pick(&[None, Some(0), Some(1), Some(9)]),
            ahead,
            eager,
        }
    }

    /// As client libraries do it: who I am first, then what waited for the connection.
    fn eager(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.random.chance(20) {
            let data = Field::Data(Some(b"alice:pw".to_vec()));
            requests.push(Request::new(100, vec![Field::Int(0), text("digest"), data]));
        }
        if self.random.chance(20) && !self.quota {
            requests.extend(self.burst());
        }
        requests
    }

    /// Bytes that end a connection.
    fn nonsense(&mut self) -> Vec<u8> {
        let frames: [&[u8]; 5] = [
            &[0xff, 0xff, 0xff, 0xff],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0x00, 0x10, 0x00, 0x00],
            &[0, 0, 0, 0],
            &[0, 0, 0, 5, 1, 2, 3, 4, 5],
        ];
        self.random.pick(&frames).to_vec()
    }

    /// Requests in one write. Not among them, because of Apache's server: auth and unknown opcodes
    /// overtake others; setACL is not seen by a write behind it that is judged before it is
    /// applied (ZooKeeper: `PrepRequestProcessor`, the change record keeps the old ACL).
    fn burst(&mut self) -> Vec<Request> {
        const PIPELINED: &[(usize, Family)] = &[
            (30, Family::Create),
            (12, Family::Delete),
            (15, Family::SetData),
            (25, Family::Read),
            (4, Family::GetAcl),
            (4, Family::Echo),
            (8, Family::Multi),
            (3, Family::MultiRead),
            (5, Family::Watch),
            (3, Family::Listing),
        ];
        let count = 2 + self.random.below(8);
        let request = |_| {
            let family = self.random.weighted(PIPELINED);
            self.judged_early(|generator| generator.request_of(family))
        };
        (0..count).map(request).collect()
    }

    /// What `make` makes comes before, or behind, writes that are judged in the same go.
    fn judged_early<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.judged_early, true);
        let made = make(self);
        self.judged_early = before;
        made
    }

    fn request(&mut self) -> Request {
        let quota = if self.quota { 10 } else { 0 };
        let family = self.random.weighted(&[
            (26, Family::Create),
            (9, Family::Delete),
            (10, Family::SetData),
            (20, Family::Read),
            (3, Family::GetAcl),
            (4, Family::SetAcl),
            (4, Family::Echo),
            (8, Family::Multi),
            (3, Family::MultiRead),
            (8, Family::Watch),
            (4, Family::SetWatches),
            (4, Family::Auth),
            (4, Family::Listing),
            (quota, Family::Quota),
            (2, Family::Odd),
        ]);
        let mut request = self.request_of(family);
        if self.random.chance(2) {
            request.xid = Some(*self.random.pick(&[0, -2, -4, -8, -77, 1, i32::MAX]));
        }
        if self.random.chance(2) && !matches!(family, Family::Odd) {
            request.cut = 1 + self.random.below(30);
        }
        request
    }

    fn request_of(&mut self, family: Family) -> Request {
        match family {
            Family::Create => self.create(),
            Family::Delete => Request::new(2, self.delete()),
            Family::SetData => Request::new(5, self.set_data()),
            Family::Read => self.read(),
            Family::GetAcl => Request::new(6, vec![self.path()]),
            Family::SetAcl => Request::new(7, self.set_acl()),
            Family::Echo => self.echo(),
            Family::Multi => Request::new(14, vec![self.multi()]),
            Family::MultiRead => Request::new(22, vec![self.multi_read()]),
            Family::Watch => self.watch(),
            Family::SetWatches => self.set_watches(),
            Family::Auth => self.auth(),
            Family::Listing => self.listing(),
            Family::Quota => self.quota(),
            Family::Odd => self.odd(),
        }
    }

    fn create(&mut self) -> Request {
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

    fn delete(&mut self) -> Vec<Field> {
        let path = self.path();
        let version = self.version(&path);
        vec![path, version]
    }

    fn set_data(&mut self) -> Vec<Field> {
        let path = self.path();
        let version = self.version(&path);
        vec![path, self.data(), version]
    }

    fn set_acl(&mut self) -> Vec<Field> {
        let path = self.path();
        let version = self.version(&path);
        vec![path, self.acl(), version]
    }

    fn read(&mut self) -> Request {
        let op = *self.random.pick(&[3, 3, 4, 4, 8, 12]);
        let watch = *self.random.pick(&[0, 0, 0, 1, 1, 5]);
        Request::new(op, vec![self.path(), Field::Byte(watch)])
    }

    fn echo(&mut self) -> Request {
        if self.random.chance(50) {
            return Request::new(11, Vec::new());
        }
        // Apache's server echoes a character of four bytes as two surrogates, which is no UTF-8.
        match self.path() {
            Field::Text(Some(path)) => Request::new(9, vec![text(&path.replace('😀', "é"))]),
            path => Request::new(9, vec![path]),
        }
    }

    fn multi(&mut self) -> Field {
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

    fn part_fields(&mut self, op: i32) -> Vec<Field> {
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

    fn multi_read(&mut self) -> Field {
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

    fn watch(&mut self) -> Request {
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

    fn set_watches(&mut self) -> Request {
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

    fn auth(&mut self) -> Request {
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

    fn listing(&mut self) -> Request {
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

    fn quota(&mut self) -> Request {
        let node = self.word(&["", "/a", "/b"]);
        let path = format!("/zookeeper/quota${node}");
        let limits = [
            "count=5,bytes=100",
            "count=-1,bytes=-1=;byteHardLimit=60;countHardLimit=4",
            "count=2,bytes=10=;byteHardLimit=-1;countHardLimit=6",
            "bytes=20,count=3",
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

    fn odd(&mut self) -> Request {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_script() {
        assert_eq!(generate(11), generate(11));
        assert_ne!(generate(11), generate(12));
    }

    #[test]
    fn every_opcode_a_client_may_send_comes_up() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            for step in generate(seed).steps {
                if let Action::Ask(requests) = step.action {
                    seen.extend(requests.iter().map(|request| request.op));
                }
            }
        }
        let wanted = (1..=9).chain(11..=22).chain(100..=107).chain([-11]);
        let missing: Vec<_> = wanted.filter(|op| !seen.contains(op)).collect();
        assert_eq!(missing, Vec::<i32>::new());
    }
}
