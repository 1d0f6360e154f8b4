//! `menagerie init`: the files of one member, `zoo.cfg`, `myid` and the secret of sessions.
//!
//! The file that is written is first read as the server reads it, so that what cannot be served is
//! refused before anything is on the disk. Nothing that is there already is touched: a directory
//! may hold the data of a server that was alone until now, whose secret then becomes everybody's.
//! Apache reads the same `zoo.cfg`; the one key that it does not know does nothing there.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use menagerie_engine::data_dir::{self, DataDirError, SECRET_BYTES};
use menagerie_wire::ServerId;
use menagerie_wire::quorum_config::{LearnerType, Member};
use thiserror::Error;

use crate::config::{self, Config, ConfigError, limits};

const SECRET: &str = "session.secret";

/// What the operator asks for.
#[derive(Clone, Debug)]
pub struct Init {
    pub id: ServerId,
    pub members: BTreeMap<ServerId, Member>,
    pub dir: PathBuf,
    /// Where the own line gives no client address; default 2181.
    pub client_port: Option<u16>,
    /// A copy of another member's secret; by default a new one is made.
    pub secret_file: Option<PathBuf>,
}

#[derive(Debug, Error)]
pub enum InitError {
    #[error("there is no --member server.{id}: give all members, this one too")]
    NotAMember { id: ServerId },
    #[error("the members would be refused: {0}")]
    Refused(#[from] ConfigError),
    #[error("{} cannot stand in a zoo.cfg: choose another --dir", .0.display())]
    Unwritable(PathBuf),
    #[error("{} is there already and is not written over: move it away, or choose another --dir",
            .0.display())]
    Exists(PathBuf),
    #[error(transparent)]
    Secret(#[from] DataDirError),
    #[error("cannot make a secret: {0}")]
    Random(io::Error),
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

impl InitError {
    /// Whether the command line, not the machine, has to change.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::NotAMember { .. } | Self::Refused(_) | Self::Unwritable(_))
    }
}

/// What was written, and what is left to do.
#[derive(Debug)]
pub struct Written {
    init: Init,
    zoo_cfg: PathBuf,
    secret: SecretFile,
}

/// The file that `sessionSecretFile` names.
#[derive(Clone, Debug)]
struct SecretFile {
    path: PathBuf,
    bytes: [u8; SECRET_BYTES],
    /// It is there already, and stays as it is.
    kept: bool,
}

impl Init {
    /// Writes the files.
    ///
    /// # Errors
    /// When they would be no use, are there already, or cannot be written.
    pub fn write(mut self) -> Result<Written, InitError> {
        let unwritable = |error| InitError::Write { path: self.dir.clone(), error };
        self.dir = std::path::absolute(&self.dir).map_err(unwritable)?;
        if !self.members.contains_key(&self.id) {
            return Err(InitError::NotAMember { id: self.id });
        }
        let secret = self.secret()?;
        let [zoo_cfg, myid] = ["zoo.cfg", "myid"].map(|name| self.dir.join(name));
        let text = self.zoo_cfg(&secret.path)?;
        self.check(&zoo_cfg, &text, &secret.path)?;
        let new_secret = (!secret.kept).then_some(&secret.path);
        let taken = [&zoo_cfg, &myid].into_iter().chain(new_secret).find(|path| path.exists());
        if let Some(path) = taken {
            return Err(InitError::Exists(path.clone()));
        }
        let made = std::fs::create_dir_all(&self.dir);
        made.map_err(|error| InitError::Write { path: self.dir.clone(), error })?;
        if !secret.kept {
            create(&secret.path, &secret.bytes, 0o600)?;
        }
        create(&myid, format!("{}\n", self.id).as_bytes(), 0o644)?;
        create(&zoo_cfg, text.as_bytes(), 0o644)?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| InitError::Write { path: self.dir.clone(), error })?;
        Ok(Written { init: self, zoo_cfg, secret })
    }

    /// A copy of the file that was named, the one of a server that was alone, or a new one.
    fn secret(&self) -> Result<SecretFile, InitError> {
        let path = self.dir.join(SECRET);
        if let Some(given) = &self.secret_file {
            let bytes = data_dir::read_secret(given)?;
            let kept = same_file(given, &path);
            return Ok(SecretFile { path, bytes, kept });
        }
        let own = data_dir::secret_path(&self.dir);
        if own.exists() {
            let bytes = data_dir::read_secret(&own)?;
            return Ok(SecretFile { path: own, bytes, kept: true });
        }
        let bytes = data_dir::random().map_err(InitError::Random)?;
        Ok(SecretFile { path, bytes, kept: false })
    }

    fn zoo_cfg(&self, secret: &Path) -> Result<String, InitError> {
        let escaped = |path: &Path| match path.to_str() {
            Some(text) => Ok(config::escaped(text)),
            None => Err(InitError::Unwritable(path.to_owned())),
        };
        let mut lines = vec![
            format!("# Written by menagerie init for server.{}.", self.id),
            format!("tickTime={}", limits::TICK_MS_DEFAULT),
            "initLimit=10".to_owned(),
            "syncLimit=5".to_owned(),
            format!("dataDir={}", escaped(&self.dir)?),
        ];
        let port = match (self.client_port, &self.members[&self.id].client) {
            (None, None) => Some(config::CLIENT_PORT_DEFAULT),
            (given, _) => given,
        };
        lines.extend(port.map(|port| format!("clientPort={port}")));
        let is_voter = |member: &&Member| member.learner_type == LearnerType::Participant;
        if self.members.len() > 1 && self.members.values().filter(is_voter).count() == 1 {
            lines.push("standaloneEnabled=false".to_owned());
        }
        if self.members.values().any(|member| member.addresses.len() > 1) {
            lines.push("multiAddress.enabled=true".to_owned());
        }
        lines.extend(self.members.iter().map(|(id, member)| format!("server.{id}={member}")));
        lines.push("# A key of Menagerie's: the same secret on all members.".to_owned());
        lines.push(format!("sessionSecretFile={}", escaped(secret)?));
        Ok(lines.join("\n") + "\n")
    }

    /// Whether the server would take the file, and understand it as it was meant.
    fn check(&self, zoo_cfg: &Path, text: &str, secret: &Path) -> Result<(), InitError> {
        let read = |path: &Path| {
            Ok(if path == zoo_cfg { text.as_bytes().to_vec() } else { self.id.to_string().into() })
        };
        let config = Config::load_with(Some(zoo_cfg), "", &[], &read)?;
        let understood = config.data_dir == self.dir
            && config.access.session_secret_file.as_deref() == Some(secret);
        if understood { Ok(()) } else { Err(InitError::Unwritable(self.dir.clone())) }
    }
}

/// Writes a new file.
fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), InitError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Write { path: path.to_owned(), error },
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { init: Init { id, members, dir, client_port, secret_file }, .. } = self;
        let Self { zoo_cfg, secret, .. } = self;
        writeln!(f, "wrote {}", zoo_cfg.display())?;
        writeln!(f, "wrote {}", dir.join("myid").display())?;
        let done = if secret.kept { "kept" } else { "wrote" };
        writeln!(f, "{done} {}, the secret of all members", secret.path.display())?;
        let others: Vec<_> = members.keys().filter(|other| *other != id).collect();
        if !others.is_empty() && secret_file.is_none() {
            writeln!(
                f,
                "\nCopy {} to the host of each other member, where",
                secret.path.display()
            )?;
            writeln!(f, "nobody but the server may read it, and say there:\n")?;
            let mut rest = "--dir DIR --secret-file COPY".to_owned();
            if let Some(port) = client_port {
                write!(rest, " --client-port {port}")?;
            }
            for (id, member) in members {
                write!(rest, " \\\n      --member 'server.{id}={member}'")?;
            }
            for other in others {
                writeln!(f, "  menagerie init --id {other} {rest}")?;
            }
        }
        writeln!(f, "\nStart this one with:\n\n  menagerie server {}", zoo_cfg.display())
    }
}
