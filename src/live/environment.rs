//! The environment that a process is started with: its templates resolved to the addresses of its own
//! links.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::backend::BackendError;
use crate::fault::misfit::Misfit;
use crate::names::{Endpoint, Link, ProcessName, Store};
use crate::scenario::{ProcessSpec, Program, ReadyAsk, TableRole};

/// What a template can stand for, besides the links.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub user: String,
    pub password: Option<String>,
    pub database: String,
}

/// The process with its command's templates resolved, and its environment as the scenario has it; a site
/// adds what it must.
///
/// `links` holds the proxy's listener of each link; `port` and `files` are what `${port}` and `${files}`
/// stand for.
///
/// # Errors
/// If a template names something that the process is not linked to. `scenario::resolve` has refused
/// that before; an error here is a defect of the harness, and says which template.
pub fn resolve(
    mut spec: ProcessSpec,
    links: &BTreeMap<Link, SocketAddr>,
    port: u16,
    files: &str,
    postgres: &Credentials,
) -> Result<(ProcessSpec, BTreeMap<String, String>), String> {
    let mut values = values(&spec, links, port, postgres);
    values.insert("files".to_owned(), files.to_owned());
    let mut environment = BTreeMap::new();
    for (name, text) in &spec.env {
        environment.insert(name.clone(), expand(text, &values)?);
    }
    if let Program::External { command: Some(command), .. } = &mut spec.program {
        for word in command {
            *word = expand(word, &values)?;
        }
    }
    for text in spec.files.values_mut() {
        *text = expand(text, &values)?;
    }
    match &mut spec.ready {
        Some(ReadyAsk::Redis { command }) => {
            for word in command {
                *word = expand(word, &values)?;
            }
        }
        Some(ReadyAsk::Sql { query }) => *query = expand(query, &values)?,
        Some(ReadyAsk::Tcp | ReadyAsk::Http { .. }) | None => {}
    }
    Ok((spec, environment))
}

/// A program that no machine and no image has.
pub const NO_PROGRAM: &str = "/nonexistent/syncope/program";

/// The process with something wrong. `another_redis` is the server that [`Misfit::AnotherRedis`] means.
///
/// # Errors
/// If it has nothing that could be wrong in this way.
pub fn misfitted(
    mut spec: ProcessSpec,
    misfit: &Misfit,
    another_redis: Option<SocketAddr>,
) -> Result<ProcessSpec, BackendError> {
    let name = spec.name.clone();
    let lacks = |what: &str| Err(BackendError::Failed(format!("{name} is told no {what}")));
    match misfit {
        Misfit::NoProgram => {
            spec.program = Program::Missing { instead_of: Box::new(spec.program) };
        }
        Misfit::NoVariable { name } => {
            if spec.env.remove(name).is_none() {
                return lacks(name);
            }
        }
        Misfit::NoTool { tool } => match &spec.program {
            Program::Table { role: TableRole::Worker, .. } => {
                spec.env.insert(tool.variable().to_owned(), NO_PROGRAM.to_owned());
            }
            _ => return lacks("external program"),
        },
        Misfit::Prefix { prefix } => match &mut spec.program {
            Program::Reference { settings, .. } => settings.prefix.clone_from(prefix),
            Program::Table { .. } | Program::External { .. } | Program::Missing { .. } => {
                return lacks("prefix");
            }
        },
        Misfit::Database { number } => {
            if !tell_redis(&mut spec, &format!("{REDIS_URL}/{number}")) {
                return lacks("address of Redis");
            }
        }
        Misfit::AnotherRedis => {
            let Some(address) = another_redis else {
                return Err(BackendError::Failed("no other Redis was started".to_owned()));
            };
            if !tell_redis(&mut spec, &format!("redis://{address}")) {
                return lacks("address of Redis");
            }
        }
    }
    Ok(spec)
}

/// Whether it is told an address of Redis at all.
fn tell_redis(spec: &mut ProcessSpec, url: &str) -> bool {
    let mut told = false;
    for value in spec.env.values_mut().filter(|value| value.contains(REDIS_URL)) {
        *value = value.replace(REDIS_URL, url);
        told = true;
    }
    told
}

/// As a template has it.
const REDIS_URL: &str = "${redis.url}";

fn values(
    spec: &ProcessSpec,
    links: &BTreeMap<Link, SocketAddr>,
    port: u16,
    postgres: &Credentials,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([
        ("name".to_owned(), spec.name.to_string()),
        ("index".to_owned(), spec.index.to_string()),
        ("port".to_owned(), port.to_string()),
    ]);
    values.extend(of_links(&spec.name, links, postgres));
    values
}

/// Where each end of its links is found.
#[must_use]
pub fn of_links(
    from: &ProcessName,
    links: &BTreeMap<Link, SocketAddr>,
    postgres: &Credentials,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (link, address) in links.iter().filter(|(link, _)| link.from == *from) {
        let url = match &link.to {
            Endpoint::Store(Store::Redis) => format!("redis://{address}"),
            Endpoint::Store(Store::Postgres) => postgres_url(*address, postgres),
            Endpoint::Process(_) => format!("http://{address}"),
        };
        values.insert(format!("{}.host", link.to), address.ip().to_string());
        values.insert(format!("{}.port", link.to), address.port().to_string());
        values.insert(format!("{}.url", link.to), url);
    }
    values
}

/// `postgres://user:password@address/database`.
#[must_use]
pub fn postgres_url(address: SocketAddr, credentials: &Credentials) -> String {
    let Credentials { user, password, database } = credentials;
    let password = password.as_ref().map_or_else(String::new, |password| format!(":{password}"));
    format!("postgres://{user}{password}@{address}/{database}")
}

/// Replaces each `${name}`; `$${` stands for a literal `${`.
pub(super) fn expand(text: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            expanded.push_str(&rest[..at - 1]);
            expanded.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        let end = rest[at..].find('}').ok_or_else(|| format!("the template in `{text}` has no end"))? + at;
        let name = &rest[at + 2..end];
        let value = values.get(name).ok_or_else(|| format!("nothing is named `{name}` in `{text}`"))?;
        expanded.push_str(&rest[..at]);
        expanded.push_str(value);
        rest = &rest[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_what_the_environment_is_told() {
        let spec = ProcessSpec {
            env: BTreeMap::from([("INDEX".to_owned(), "${index}".to_owned())]),
            links: vec![Endpoint::Store(Store::Redis)],
            ..ProcessSpec::new(
                "worker-2".into(),
                "worker",
                2,
                Program::External {
                    command: Some(vec!["work".into(), "--of=${name}".into(), "${redis.port}".into()]),
                    image: None,
                    working_directory: None,
                    recipe: None,
                },
            )
        };
        let link = |from: &str| Link { from: from.into(), to: Endpoint::Store(Store::Redis) };
        let links = BTreeMap::from([
            (link("worker-1"), SocketAddr::from(([127, 0, 0, 1], 1001))),
            (link("worker-2"), SocketAddr::from(([127, 0, 0, 1], 1002))),
        ]);
        let credentials = Credentials { user: "u".into(), password: None, database: "d".into() };
        let (told, environment) = resolve(spec, &links, 0, "", &credentials).unwrap();
        let Program::External { command: Some(command), .. } = told.program else { panic!("a command") };
        assert_eq!(command, ["work", "--of=worker-2", "1002"]);
        assert_eq!(environment, BTreeMap::from([("INDEX".to_owned(), "2".to_owned())]));
    }

    #[test]
    fn templates_are_expanded_and_unknown_ones_named() {
        let values = BTreeMap::from([("redis.host".to_owned(), "127.0.0.1".to_owned())]);
        for (text, expected) in [
            ("${redis.host}", Ok("127.0.0.1")),
            ("a ${redis.host}:1 ${redis.host}", Ok("a 127.0.0.1:1 127.0.0.1")),
            ("$${redis.host}", Ok("${redis.host}")),
            ("plain $ text", Ok("plain $ text")),
            ("${nobody}", Err("nothing is named `nobody` in `${nobody}`")),
            ("${open", Err("the template in `${open` has no end")),
        ] {
            let expanded = expand(text, &values);
            assert_eq!(expanded.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }
}
