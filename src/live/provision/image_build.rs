//! Images built from Debian packages where no registry can be reached: the servers', and those of recipes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bollard::Docker;
use bollard::models::ContainerConfig;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures_util::{StreamExt, stream};
use tokio::task::spawn_blocking;

use super::cleanup::Guard;
use super::container::{self, ContainerSpec};
use super::labels::{OWNER_LABEL, RUN_LABEL};
use super::servers::POSTGRES_USER;
use super::undo::{self, Entry, OWNER_FILE, OWNER_VARIABLE, RUN_VARIABLE};
use super::{places, process};
use crate::backend::BackendError;
use crate::names::Store;

const SUITE: &str = "bookworm";
/// What the images do without: prefixes of paths.
const SLIM: &str = include_str!("../../../images/slim.txt");
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n\
                     redis:x:998:998::/data:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/sh\n";
const GROUPS: &str = "root:x:0:\npostgres:x:999:\nredis:x:998:\nnogroup:x:65534:\n";
const POSTGRES_ID: u64 = 999;
const CHUNK_BYTES: usize = 1024 * 1024;

pub(super) const fn reference(store: Store) -> &'static str {
    match store {
        Store::Redis => "syncope/redis:7",
        Store::Postgres => "syncope/postgres:15",
    }
}

/// Some 15 s for Redis, 30 s for Postgres. Leaves the image under [`reference`].
pub(super) async fn build(docker: &Docker, guard: &Guard, store: Store) -> Result<(), BackendError> {
    let plan = match store {
        Store::Redis => Plan {
            name: "redis",
            packages: "redis-server".into(),
            directories: &[("data/", 0o755, 0)],
            reference: reference(store),
            config: REDIS_CONFIG,
            finish: None,
        },
        Store::Postgres => Plan {
            name: "postgres",
            packages: "postgresql-15".into(),
            directories: POSTGRES_DIRECTORIES,
            reference: reference(store),
            config: POSTGRES_CONFIG,
            finish: Some(Finish {
                base: POSTGRES_BASE,
                script: format!(
                    "initdb --auth=trust --no-sync --encoding=UTF8 --locale=C --wal-segsize=1 \
                     --username={POSTGRES_USER} \
                     && echo 'host all all all trust' >> \"$PGDATA/pg_hba.conf\""
                ),
            }),
        },
    };
    carry_out(docker, guard, &plan).await
}

/// Of what an image is made.
pub(super) struct Plan<'a> {
    /// For a person, and for what is made on the way.
    pub name: &'a str,
    /// Debian's names, separated by commas.
    pub packages: String,
    /// Besides `/tmp`, with mode and owner: what the packages' own scripts would have made.
    pub directories: &'a [(&'a str, u32, u64)],
    /// Where the image is left.
    pub reference: &'a str,
    /// Dockerfile instructions.
    pub config: &'a [&'a str],
    pub finish: Option<Finish<'a>>,
}

/// What is done once, in a container, so that it need not be done at each start.
pub(super) struct Finish<'a> {
    /// The image's name before.
    pub base: &'a str,
    pub script: String,
}

/// Unpacks, packs, imports. The packages' own scripts are not run.
pub(super) async fn carry_out(docker: &Docker, guard: &Guard, plan: &Plan<'_>) -> Result<(), BackendError> {
    let name = plan.name;
    let directory = places::scratch().join(format!("{}{}-image-{name}", places::PREFIX, guard.run_id()));
    let made = guard
        .record(&Entry::Directory { path: directory.clone() })
        .and_then(|()| places::create_passable(&directory))
        .and_then(|()| fs::write(directory.join(OWNER_FILE), guard.owner()));
    made.map_err(|error| process::failed("make a directory to build an image in", &error))?;
    let marks = [(RUN_VARIABLE, guard.run_id().to_owned()), (OWNER_VARIABLE, guard.owner().to_owned())];
    let within = directory.clone();
    let packages = format!("{},dash,coreutils,libc-bin", plan.packages);
    let directories: Vec<_> =
        plan.directories.iter().map(|&(path, mode, owner)| (path.to_owned(), mode, owner)).collect();
    let packed = spawn_blocking(move || pack(&packages, &directories, &within, &marks)).await;
    let packed = packed.map_err(|error| process::failed("build an image", &io::Error::other(error)))?;
    let built = match packed {
        Ok(layer) => match &plan.finish {
            None => import(docker, &layer, plan.reference, plan.config).await,
            Some(finish) => import_and_finish(docker, guard, &layer, plan, finish).await,
        },
        Err(error) => Err(error),
    };
    undo::remove_directory(&directory);
    built
}

const REDIS_CONFIG: &[&str] =
    &["WORKDIR /data", "CMD [\"redis-server\", \"--protected-mode\", \"no\"]", "LABEL syncope.image=redis"];
const POSTGRES_CONFIG: &[&str] = &[
    "ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin",
    "ENV PGDATA=/var/lib/postgresql/data",
    "USER postgres",
    "WORKDIR /var/lib/postgresql",
    "CMD [\"postgres\"]",
    "LABEL syncope.image=postgres",
];
const POSTGRES_BASE: &str = "syncope/postgres-base:15";

const POSTGRES_DIRECTORIES: &[(&str, u32, u64)] = &[
    ("data/", 0o755, 0),
    ("var/lib/postgresql/", 0o755, POSTGRES_ID),
    ("var/run/", 0o755, 0),
    ("var/run/postgresql/", 0o775, POSTGRES_ID),
];

/// Postgres's data directory is initialised so, once, and a container starts with it.
async fn import_and_finish(
    docker: &Docker,
    guard: &Guard,
    layer: &Path,
    plan: &Plan<'_>,
    finish: &Finish<'_>,
) -> Result<(), BackendError> {
    import(docker, layer, finish.base, plan.config).await?;
    let name = format!("{}{}-finish-{}", places::PREFIX, guard.run_id(), plan.name);
    let spec = ContainerSpec {
        name: name.clone(),
        image: finish.base.into(),
        command: Some(vec!["sh".into(), "-ec".into(), finish.script.clone()]),
        labels: [(RUN_LABEL, guard.run_id()), (OWNER_LABEL, guard.owner())]
            .map(|(label, value)| (label.to_owned(), value.to_owned()))
            .into(),
        network: "none".into(),
        keeps_log: true,
        ..ContainerSpec::default()
    };
    let id = container::create(docker, guard, spec).await?;
    let committed = match container::run_to_end(docker, &id).await {
        Ok(exit) if exit.code == Some(0) => commit(docker, &id, plan).await,
        Ok(exit) => {
            Err(BackendError::Failed(format!("{name} failed to finish the image {}: {exit}", plan.reference)))
        }
        Err(error) => Err(error),
    };
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    docker
        .remove_container(&id, Some(options))
        .await
        .map_err(|error| container::failed("remove a container", &error))?;
    committed
}

async fn commit(docker: &Docker, id: &str, plan: &Plan<'_>) -> Result<(), BackendError> {
    let (repository, tag) = split(plan.reference);
    let options = CommitContainerOptionsBuilder::default()
        .container(id)
        .repo(repository)
        .tag(tag)
        .changes(&plan.config.join("\n"))
        .build();
    let committed = docker.commit_container(options, ContainerConfig::default()).await;
    committed
        .map(drop)
        .map_err(|error| container::failed(&format!("commit the image {}", plan.reference), &error))
}

/// A tar archive as an image with that configuration (Dockerfile instructions).
pub(super) async fn import(
    docker: &Docker,
    layer: &Path,
    reference: &str,
    changes: &[&str],
) -> Result<(), BackendError> {
    let opened = tokio::fs::File::open(layer).await;
    let file = opened.map_err(|error| process::failed("read an image's layer", &error))?;
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let length = tokio::io::AsyncReadExt::read(&mut file, &mut chunk).await?;
        chunk.truncate(length);
        io::Result::Ok((length > 0).then(|| (chunk.into(), file)))
    });
    let (repository, tag) = split(reference);
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(repository)
        .tag(tag)
        .changes(changes.iter().map(|&change| change.to_owned()).collect())
        .build();
    let mut steps = docker.create_image(Some(options), Some(bollard::body_try_stream(chunks)), None);
    while let Some(step) = steps.next().await {
        step.map_err(|error| container::failed(&format!("import the image {reference}"), &error))?;
    }
    Ok(())
}

fn split(reference: &str) -> (&str, &str) {
    reference.split_once(':').unwrap_or((reference, "latest"))
}

/// What a layer begins with: path, mode, owner.
type Directories = [(String, u32, u64)];

/// Packages, unpacked and slimmed, as one tar archive in `directory`.
fn pack(
    packages: &str,
    directories: &Directories,
    directory: &Path,
    marks: &[(&str, String)],
) -> Result<PathBuf, BackendError> {
    let full = directory.join("full.tar");
    let mut command = unpacker(packages, directory, &full)?;
    command.envs(marks.iter().map(|(name, value)| (*name, value))).env("TMPDIR", directory);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| process::failed("unpack Debian packages", &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
        return Err(BackendError::Environment {
            what: format!("failed to unpack the packages {packages}:\n{}", said.join("\n")),
            hint: "apt-get update; or --backend process".into(),
        });
    }
    let slim = directory.join("slim.tar");
    let slimmed = if full.exists() {
        slim_archive(directories, &full, &slim)
    } else {
        slim_tree(directories, &directory.join("root"), &slim)
    };
    slimmed.map_err(|error| process::failed("pack an image's layer", &error))?;
    Ok(slim)
}

/// mmdebstrap only unpacks, without maintainer scripts; debootstrap leaves a whole system.
fn unpacker(packages: &str, directory: &Path, full: &Path) -> Result<Command, BackendError> {
    let others = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    if let Some(program) = places::find_program("mmdebstrap", &others) {
        let mut command = Command::new(program);
        command.args(["--quiet", "--variant=extract"]).arg(format!("--include={packages}"));
        command.arg(SUITE).arg(full);
        return Ok(command);
    }
    if let Some(program) = places::find_program("debootstrap", &others) {
        let mut command = Command::new(program);
        command.arg("--variant=minbase").arg(format!("--include={packages}"));
        command.arg(SUITE).arg(directory.join("root"));
        return Ok(command);
    }
    Err(BackendError::Environment {
        what: "neither is a registry reachable nor mmdebstrap installed: there is no image for the stores"
            .into(),
        hint: "apt-get install -y mmdebstrap; or --backend process".into(),
    })
}

fn slim_archive(directories: &Directories, full: &Path, slim: &Path) -> io::Result<()> {
    let mut from = tar::Archive::new(BufReader::new(File::open(full)?));
    let mut to = Layer::begin(directories, slim)?;
    for entry in from.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !to.takes(&path) {
            continue;
        }
        let mut header = entry.header().clone();
        match entry.link_name()?.map(std::borrow::Cow::into_owned) {
            Some(target) => to.tar.append_link(&mut header, &path, target)?,
            None => to.tar.append_data(&mut header, &path, &mut entry)?,
        }
    }
    to.finish()
}

fn slim_tree(directories: &Directories, root: &Path, slim: &Path) -> io::Result<()> {
    let mut to = Layer::begin(directories, slim)?;
    let mut pending = vec![PathBuf::new()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(root.join(&directory))? {
            let path = directory.join(entry?.file_name());
            let is_directory = fs::symlink_metadata(root.join(&path))?.is_dir();
            if to.takes(&path) {
                to.tar.append_path_with_name(root.join(&path), &path)?;
            }
            if is_directory && !is_slimmed(&path.join("")) {
                pending.push(path);
            }
        }
    }
    to.finish()
}

/// An archive in which no path comes twice: the engine refuses that.
struct Layer {
    tar: tar::Builder<BufWriter<File>>,
    seen: BTreeSet<String>,
}

impl Layer {
    /// Begins with the users and directories that the packages' own scripts would have made.
    fn begin(directories: &Directories, path: &Path) -> io::Result<Self> {
        let tar = tar::Builder::new(BufWriter::new(File::create(path)?));
        let mut layer = Self { tar, seen: BTreeSet::new() };
        layer.tar.follow_symlinks(false);
        for (path, text) in [("etc/passwd", USERS), ("etc/group", GROUPS)] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            layer.takes(Path::new(path));
            layer.tar.append_data(&mut header, path, text.as_bytes())?;
        }
        let always = [("tmp/", 0o1777, 0)].into_iter();
        let asked = directories.iter().map(|(path, mode, owner)| (path.as_str(), *mode, *owner));
        for (path, mode, owner) in always.chain(asked) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(mode);
            header.set_uid(owner);
            header.set_gid(owner);
            header.set_size(0);
            layer.takes(Path::new(path));
            layer.tar.append_data(&mut header, path, io::empty())?;
        }
        Ok(layer)
    }

    /// Neither slimmed away nor seen before.
    fn takes(&mut self, path: &Path) -> bool {
        let path = normal(path);
        !path.is_empty() && !is_slimmed(Path::new(&path)) && self.seen.insert(path)
    }

    fn finish(self) -> io::Result<()> {
        self.tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
    }
}

/// Without a leading `./` and a trailing `/`.
fn normal(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches("./").trim_end_matches('/').to_owned()
}

fn is_slimmed(path: &Path) -> bool {
    let path = path.to_string_lossy();
    let path = path.trim_start_matches("./");
    SLIM.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).any(|prefix| begins(path, prefix))
}

fn begins(path: &str, prefix: &str) -> bool {
    match prefix.split_once('*') {
        None => path.starts_with(prefix),
        Some((head, tail)) => path
            .strip_prefix(head)
            .and_then(|rest| rest.find('/').map(|end| &rest[end..]))
            .is_some_and(|rest| rest.starts_with(tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_directory() {
        for (path, slimmed) in [
            ("./usr/share/doc/redis/README", true),
            ("./usr/lib/x86_64-linux-gnu/perl/5.36/x.pm", true),
            ("./usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", true),
            ("./usr/lib/postgresql/15/bin/postgres", false),
            ("./usr/lib/postgresql/15/lib/bitcode/x.bc", true),
            ("./usr/bin/redis-server", false),
        ] {
            assert_eq!(is_slimmed(Path::new(path)), slimmed, "{path}");
        }
    }
}
