//! Recipes on local processes: packages are installed once, outside of the author's folder, and the program
//! runs in a copy of it. `npm` and `node` are stand-ins: no registry is asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A worker's folder, a cache, and programs that stand before the machine's own.
struct Bench {
    place: TempDir,
}

/// Installs one program, `start`, and notes that it was asked to.
const NPM: &str = r#"#!/bin/sh
echo "$@" >> "$NPM_ASKED"
test -f package-lock.json || exit 9
mkdir -p node_modules/.bin
printf '#!/bin/sh\ntest -e node_modules/.bin/start && exec python3 worker.py\n' > node_modules/.bin/start
chmod +x node_modules/.bin/start
"#;
const BROKEN_NPM: &str = "#!/bin/sh\nmkdir node_modules\necho 'npm error the registry is away' >&2\nexit 1\n";

impl Bench {
    fn new(npm: &str) -> Self {
        let bench = Self { place: TempDir::new().expect("a folder") };
        for folder in ["programs", "app"] {
            fs::create_dir(bench.at(folder)).expect("a folder");
        }
        bench.program("npm", npm);
        bench.program("node", "#!/bin/sh\necho v18.0.0\n");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(root.join("tests/external/worker.py"), bench.at("app/worker.py")).expect("the worker");
        bench.write("app/package.json", "{}");
        bench.write("app/package-lock.json", r#"{"lockfileVersion": 3, "packages": {"": {}}}"#);
        let scenario = fs::read_to_string(root.join("tests/scenarios/external-python.yaml")).expect("text");
        let scenario = scenario.replace(r#"command: ["python3", "worker.py"]"#, "command: [start]");
        let scenario = scenario.replace("working_directory: ../external", "recipe: {npm: app}");
        bench.write("scenario.yaml", &scenario);
        bench
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).expect("it can be written");
    }

    fn program(&self, name: &str, text: &str) {
        let path = format!("programs/{name}");
        self.write(&path, text);
        fs::set_permissions(self.at(&path), fs::Permissions::from_mode(0o755)).expect("an own file");
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncope"));
        let path = std::env::var("PATH").unwrap_or_default();
        command.arg(verb).arg("scenario.yaml").current_dir(self.place.path()).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", self.at("programs").display())).env("NO_COLOR", "1");
        command.env("SYNCOPE_CACHE_DIR", self.at("cache")).env("NPM_ASKED", self.at("asked"));
        command
    }

    /// Its exit code, and what it said.
    fn run(&self) -> (Option<i32>, String) {
        let mut command = self.command("run");
        command.args(["--backend", "process", "--seed", "7", "--host-retries", "2"]);
        said(&mut command)
    }

    /// Of the packages that are kept.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("cache/packages")).into_iter().flatten();
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.ends_with(".lock")).collect()
    }
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("syncope starts");
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    (output.status.code(), text)
}

#[test]
fn what_a_recipe_names_is_installed_once_and_the_program_runs_in_a_copy() {
    let bench = Bench::new(NPM);
    for _ in 0..2 {
        let (code, text) = bench.run();
        assert_eq!(code, Some(0), "{text}");
    }
    let asked = fs::read_to_string(bench.at("asked")).expect("npm was asked");
    assert_eq!(asked.lines().count(), 1, "{asked}");
    assert!(asked.starts_with("ci --ignore-scripts"), "{asked}");
    assert_eq!(fs::read_dir(bench.at("app")).expect("a folder").count(), 3, "nothing was written there");
    assert_eq!(bench.kept().len(), 1);
    bench.write("app/package-lock.json", r#"{"lockfileVersion": 3, "packages": {"": {"name": "other"}}}"#);
    let (code, text) = bench.run();
    assert_eq!((code, bench.kept().len()), (Some(0), 2), "{text}");
}

#[test]
fn an_installation_that_fails_leaves_nothing_and_is_told() {
    let bench = Bench::new(BROKEN_NPM);
    let (code, text) = bench.run();
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("npm error the registry is away"), "{text}");
    let summary = fs::read(bench.at("reports/latest/summary.json")).expect("a report");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["scenarios"].as_array().map(Vec::len), Some(0), "{summary:#}");
    assert_eq!(bench.kept(), [""; 0]);
}

#[test]
fn a_recipe_without_its_lock_file_is_a_mistake_with_a_place() {
    let bench = Bench::new(NPM);
    fs::remove_file(bench.at("app/package-lock.json")).expect("it was there");
    for verb in ["check", "run"] {
        let (code, text) = said(&mut bench.command(verb));
        assert_eq!(code, Some(2), "{text}");
        let told = "scenario.yaml:9:23";
        assert!(text.contains("failed to read app/package-lock.json") && text.contains(told), "{text}");
        assert!(text.contains("npm install --package-lock-only"), "{text}");
    }
    assert!(!bench.at("asked").exists());
}
