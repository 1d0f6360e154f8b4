//! Which secret the session passwords are made with.
//!
//! Sessions move between members, so all of them need the same one: `sessionSecretFile`. A
//! standalone server keeps its own in the data directory, and goes on with it when it becomes a
//! member, so that its sessions live on. A member that has neither makes Apache's passwords.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use menagerie_engine::data_dir::{self, DataDir, DataDirError};

use crate::client::password::SessionSecret;
use crate::config::Config;

/// Reads the secret that `config` asks for, and warns of one that is none.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub(crate) fn session_secret(
    config: &Config,
    data_dir: &DataDir,
) -> Result<SessionSecret, DataDirError> {
    if let Some(path) = &config.access.session_secret_file {
        let secret = data_dir::read_secret(path)?;
        if is_open(path).unwrap_or(false) {
            let path = path.display();
            tracing::warn!("{path}: others may read this session secret: chmod 600 {path}");
        }
        return Ok(SessionSecret::new(secret));
    }
    if config.ensemble.is_none() {
        return data_dir.session_secret().map(SessionSecret::new);
    }
    match data_dir.kept_session_secret()? {
        Some(secret) => {
            let path = data_dir::secret_path(&config.data_dir);
            tracing::warn!(
                "no sessionSecretFile: going on with {}, from when this server was alone; \
                 the other members need a copy of it",
                path.display()
            );
            Ok(SessionSecret::new(secret))
        }
        None => {
            tracing::warn!(
                "no sessionSecretFile: session passwords are those of Apache ZooKeeper, \
                 which can be computed from the ids of the sessions"
            );
            Ok(SessionSecret::of_apache())
        }
    }
}

/// Whether anybody but its owner may read the file.
fn is_open(path: &Path) -> io::Result<bool> {
    Ok(path.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use menagerie_wire::SessionId;

    use super::*;
    use crate::config::Override;

    const SESSION: SessionId = SessionId(0x0100_001b_d0b4_0000);

    /// A standalone server, or member 1 of two, with its data in `root`.
    fn config(root: &Path, member: bool, secret_file: Option<&Path>) -> Config {
        fs::write(root.join("myid"), "1").unwrap();
        let mut keys = vec![("dataDir", root.to_str().unwrap()), ("initLimit", "1")];
        keys.push(("syncLimit", "1"));
        keys.extend(secret_file.map(|file| ("sessionSecretFile", file.to_str().unwrap())));
        if member {
            keys.extend([("server.1", "127.0.0.1:1:2"), ("server.2", "127.0.0.1:3:4")]);
        }
        let set = |(key, value): (&str, &str)| Override {
            option: "--set",
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let overrides: Vec<_> = keys.into_iter().map(set).collect();
        Config::load(None, "", &overrides).expect("a good configuration")
    }

    fn password(config: &Config) -> Result<[u8; 16], DataDirError> {
        let data_dir = DataDir::open(&config.data_dir, None)?;
        Ok(session_secret(config, &data_dir)?.password(SESSION))
    }

    #[test]
    fn a_server_that_grows_goes_on_with_its_secret() {
        let root = tempfile::tempdir().unwrap();
        let member = config(root.path(), true, None);
        let apaches = SessionSecret::of_apache().password(SESSION);
        assert_eq!(password(&member).unwrap(), apaches, "a member makes no secret of its own");
        assert_eq!(password(&member).unwrap(), apaches);
        let alone = password(&config(root.path(), false, None)).unwrap();
        assert_ne!(alone, apaches);
        assert_eq!(password(&member).unwrap(), alone);
    }

    #[test]
    fn the_file_that_is_named_is_taken_by_all() {
        let root = tempfile::tempdir().unwrap();
        let alone = password(&config(root.path(), false, None)).unwrap();
        let file = root.path().join("shared.secret");
        fs::write(&file, [9; SessionSecret::LEN]).unwrap();
        let shared = SessionSecret::new([9; SessionSecret::LEN]).password(SESSION);
        for member in [false, true] {
            assert_eq!(password(&config(root.path(), member, Some(&file))).unwrap(), shared);
        }
        assert_eq!(password(&config(root.path(), false, None)).unwrap(), alone);

        fs::write(&file, "short").unwrap();
        let error = password(&config(root.path(), true, Some(&file))).unwrap_err().to_string();
        assert!(error.contains("shared.secret has 5 bytes instead of 32"), "{error}");
        fs::remove_file(&file).unwrap();
        let error = password(&config(root.path(), true, Some(&file))).unwrap_err().to_string();
        assert!(error.contains("cannot read"), "{error}");
    }

    #[test]
    fn a_secret_that_others_may_read_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("s");
        fs::write(&file, "").unwrap();
        for (mode, open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open(&file).unwrap(), open, "{mode:o}");
        }
    }
}
