//! The reference fleet's image: the program, with the shared libraries that it is linked against
//! here, so that it runs whatever else a distribution would bring.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use bollard::Docker;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions};
use tokio::task::spawn_blocking;

use super::cleanup::Guard;
use super::image_build::import;
use super::images::{Image, find};
use super::undo::{self, Entry, OWNER_FILE};
use super::{Progress, places, process};
use crate::backend::BackendError;

const REPOSITORY: &str = "syncope/fleet";
const CONFIG: &[&str] = &["ENTRYPOINT [\"/syncope-fleet\"]", "LABEL syncope.image=fleet"];

/// The image of the fleet's program as it is now, made if need be; older ones go.
pub(super) async fn current(
    docker: &Docker,
    guard: &Guard,
    progress: Progress<'_>,
) -> Result<Image, BackendError> {
    let program = places::own_program("syncope-fleet", "SYNCOPE_FLEET_BIN").map_err(|error| {
        let hint = "cargo build --bins, or set SYNCOPE_FLEET_BIN".into();
        BackendError::Environment { what: error.to_string(), hint }
    })?;
    let failed = |error: io::Error| process::failed("make the fleet's image", &error);
    let reference = format!("{REPOSITORY}:{}", fingerprint(&program).map_err(failed)?);
    if let Some(image) = find(docker, &reference).await? {
        return Ok(image);
    }
    progress(&format!("making the image {reference}"));
    let directory = places::scratch().join(format!("{}{}-image-fleet", places::PREFIX, guard.run_id()));
    guard.record(&Entry::Directory { path: directory.clone() }).map_err(failed)?;
    places::create_passable(&directory).map_err(failed)?;
    fs::write(directory.join(OWNER_FILE), guard.owner()).map_err(failed)?;
    let layer = directory.join("fleet.tar");
    let to = layer.clone();
    let packed = spawn_blocking(move || pack(&program, &to)).await.map_err(io::Error::other);
    let made = match packed.and_then(|packed| packed).map_err(failed) {
        Ok(()) => import(docker, &layer, &reference, CONFIG).await,
        Err(error) => Err(error),
    };
    undo::remove_directory(&directory);
    made?;
    prune(docker, &reference).await;
    find(docker, &reference)
        .await?
        .ok_or_else(|| BackendError::Failed(format!("{reference} was made and is not there")))
}

/// Of the program's content: the same program is the same image, wherever it was built or copied to.
/// Read anew only when the file has changed.
fn fingerprint(program: &Path) -> io::Result<String> {
    static LAST: Mutex<Option<(Version, String)>> = Mutex::new(None);
    let version = Version::of(program)?;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, print)) = &*last
        && *known == version
    {
        return Ok(print.clone());
    }
    let print = hash(File::open(program)?)?;
    *last = Some((version, print.clone()));
    Ok(print)
}

/// What changes with a file's content.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        let modified = (about.mtime(), about.mtime_nsec());
        Ok(Self { path: path.to_path_buf(), inode: about.ino(), bytes: about.len(), modified })
    }
}

/// 64 bits, and of a kind that another compiler may change: then the image is made once more.
fn hash(mut content: impl Read) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match content.read(&mut chunk)? {
            0 => return Ok(format!("{:016x}", hasher.finish())),
            count => hasher.write(&chunk[..count]),
        }
    }
}

/// libfaketime is mounted when a clock is faked; its libraries must be there for it.
fn pack(program: &Path, layer: &Path) -> io::Result<()> {
    let mut libraries = libraries_of(program)?;
    if let Some(library) = places::libfaketime() {
        libraries.extend(libraries_of(&library)?);
    }
    let mut to = tar::Builder::new(BufWriter::new(File::create(layer)?));
    append(&mut to, program, Path::new("syncope-fleet"))?;
    for library in libraries {
        let name = library.strip_prefix("/").unwrap_or(&library);
        append(&mut to, &library, name)?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1777);
    header.set_size(0);
    to.append_data(&mut header, "tmp/", io::empty())?;
    to.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
}

/// What a name leads to, under that name.
fn append(to: &mut tar::Builder<BufWriter<File>>, from: &Path, name: &Path) -> io::Result<()> {
    let mut file = File::open(from)?;
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(file.metadata()?.len());
    to.append_data(&mut header, name, &mut file)
}

/// As the dynamic linker resolves them, itself included. A static program has none.
fn libraries_of(program: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}

/// Older images of the fleet. The engine keeps those that a container is made from.
async fn prune(docker: &Docker, current: &str) {
    let filters = std::collections::HashMap::from([("label", vec!["syncope.image=fleet"])]);
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    for image in docker.list_images(Some(options)).await.unwrap_or_default() {
        if !image.repo_tags.iter().any(|tag| tag == current) {
            // One that is in use stays, and goes another time.
            let _ = docker.remove_image(&image.id, None::<RemoveImageOptions>, None).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_the_programs_content_alone() {
        let directory = tempfile::tempdir().unwrap();
        let print_of = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            fingerprint(&path).unwrap()
        };
        let first = print_of("a", b"program");
        assert_eq!(first, print_of("b", b"program"));
        assert_eq!(first, print_of("a", b"program"), "it was written again");
        assert_ne!(first, print_of("a", b"another program"));
    }
}
