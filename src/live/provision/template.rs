//! A Postgres data directory, initialised once per server and user, and copied for each scenario.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::cleanup::Guard;
use super::places;
use super::servers::POSTGRES_USER;
use super::undo::Entry;

/// Segments of 1 MiB in place of 16: less to copy.
const WAL_SEGMENT_MEGABYTES: &str = "1";
/// Of the way in which a template is made. Counts up when a template of before will not do.
const FORMAT: u32 = 3;

/// Postgres as it is installed here.
#[derive(Debug, Clone)]
pub(super) struct Postgres {
    pub server: PathBuf,
    initdb: PathBuf,
    /// Whom to become: Postgres refuses to run as root.
    pub user: Option<(u32, u32)>,
}

impl Postgres {
    /// `None` if it is not installed.
    pub(super) fn find() -> Option<Self> {
        let debian = debian_directories();
        let found = places::find_program("postgres", &debian)?;
        let server = fs::canonicalize(&found).ok()?;
        let beside = server.parent()?.to_path_buf();
        let initdb = Some(beside.join("initdb")).filter(|path| path.is_file());
        let initdb = initdb.or_else(|| places::find_program("initdb", &debian))?;
        let user = if places::user_id() == 0 { Some(unprivileged_user()?) } else { None };
        Some(Self { server, initdb, user })
    }

    /// Makes `data` a data directory of its own, or the empty directory that it is. Blocks for some 20 ms, and for a few seconds the
    /// first time.
    pub(super) fn copy_data_to(&self, data: &Path, guard: &Guard) -> io::Result<()> {
        let template = self.template(guard)?;
        if data.exists() {
            return copy_entries(&template, data, self.user);
        }
        copy_tree(&template, data, self.user)
    }

    fn template(&self, guard: &Guard) -> io::Result<PathBuf> {
        /// Scenarios that start at once wait for the one that makes it.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        // Another server is another file. To ask it for its version takes as long as to start it.
        let server = fs::metadata(&self.server)?;
        let owner = self.user.map_or(places::user_id(), |(user, _)| user);
        let key = format!("{FORMAT}-{:x}-{:x}-{owner}", server.ino(), server.mtime());
        let template = places::cache().join(format!("postgres-{key}"));
        if template.join("PG_VERSION").is_file() {
            return Ok(template);
        }
        fs::create_dir_all(places::cache())?;
        // Made where the server's user may write, then moved into the cache at one stroke.
        let name = format!("{}{}-initdb", places::PREFIX, guard.run_id());
        let making = places::scratch().join(name);
        let arriving = template.with_extension(format!("{}.new", guard.owner()));
        for path in [&making, &arriving] {
            guard.record(&Entry::Directory { path: path.clone() })?;
        }
        places::create_passable(&making)?;
        if let Some((user, group)) = self.user {
            chown(&making, Some(user), Some(group))?;
        }
        self.initialise(&making.join("data"))?;
        copy_tree(&making.join("data"), &arriving, self.user)?;
        fs::remove_dir_all(&making)?;
        match fs::rename(&arriving, &template) {
            Err(_) if template.join("PG_VERSION").is_file() => fs::remove_dir_all(&arriving)?,
            renamed => renamed?,
        }
        Ok(template)
    }

    fn initialise(&self, data: &Path) -> io::Result<()> {
        let mut command = Command::new(&self.initdb);
        command.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        command.args(["--username", POSTGRES_USER, "--wal-segsize", WAL_SEGMENT_MEGABYTES]);
        command.arg("--pgdata").arg(data).current_dir("/");
        self.become_user(&mut command);
        run(&mut command)?;
        self.drop_template0(data)?;
        self.shorten_log(data)?;
        fs::set_permissions(data, fs::Permissions::from_mode(0o700))
    }

    /// One segment in place of six: a quarter of the bytes, which hold nothing after a clean end.
    fn shorten_log(&self, data: &Path) -> io::Result<()> {
        let Some(program) = self.initdb.parent().map(|beside| beside.join("pg_resetwal")) else {
            return Ok(());
        };
        // A distribution may keep it elsewhere: then each copy takes a little longer.
        if !program.is_file() {
            return Ok(());
        }
        let mut command = Command::new(program);
        command.arg("--pgdata").arg(data).current_dir("/");
        self.become_user(&mut command);
        run(&mut command)
    }

    /// A third of the files, which nothing here asks for: new databases are made from `template1`.
    fn drop_template0(&self, data: &Path) -> io::Result<()> {
        let commands = data.with_extension("sql");
        fs::write(
            &commands,
            "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'\n\
             DROP DATABASE template0\n",
        )?;
        let mut command = Command::new(&self.server);
        command.args(["--single", "-F", "-D"]).arg(data).arg("template1").current_dir("/");
        self.become_user(&mut command);
        run_with(&mut command, fs::File::open(&commands)?.into())
    }

    fn become_user(&self, command: &mut Command) {
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
    }
}

/// As `cp -a` would, in a quarter of its time: nothing but the owner is to be kept of a file that was
/// made for this, and another program need not be started.
fn copy_tree(from: &Path, to: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let (user, group) = owner.unzip();
    fs::DirBuilder::new().mode(0o700).create(to)?;
    chown(to, user, group)?;
    copy_entries(from, to, owner)
}

fn copy_entries(from: &Path, to: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let (user, group) = owner.unzip();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&from, &to, owner)?;
            continue;
        }
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut File::open(from)?, &mut copy)?;
        fchown(&copy, user, group)?;
    }
    Ok(())
}

/// Debian keeps each version's programs out of the PATH. The newest first.
fn debian_directories() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

/// As in `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`, or
/// `Redis server v=7.0.15 sha=00000000:0 …`: the word that begins with a digit, or follows `v=`.
pub(super) fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace().map(|word| word.trim_start_matches("v="));
    words.find(|word| word.starts_with(|first: char| first.is_ascii_digit())).map(str::to_owned)
}

fn unprivileged_user() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let mut fields =
            users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':');
        let user = fields.nth(1)?.parse().ok()?;
        Some((user, fields.next()?.parse().ok()?))
    })
}

fn run(command: &mut Command) -> io::Result<()> {
    run_with(command, Stdio::null())
}

fn run_with(command: &mut Command, input: Stdio) -> io::Result<()> {
    let output = command.stdin(input).output()?;
    if output.status.success() {
        return Ok(());
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program} ended with {}: {said}", output.status)))
}
