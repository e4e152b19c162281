//! Which image a container is made from: looked up locally, else pulled, else built.

use std::collections::BTreeMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use tokio::sync::Mutex;

use super::cleanup::Guard;
use super::engine::Engine;
use super::recipe::{self, contained};
use super::recipe_image::Base;
use super::{Progress, fleet_image, image_build};
use crate::backend::BackendError;
use crate::names::Store;
use crate::scenario::recipe::Recipe;
use crate::scenario::{ProcessSpec, Program, Scenario};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// As it was asked for.
    pub reference: String,
    pub id: String,
}

/// The images of one scenario.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolved {
    stores: BTreeMap<Store, Image>,
    fleet: Option<Image>,
    external: BTreeMap<String, Image>,
    /// Of recipes.
    bases: BTreeMap<Base, Image>,
}

impl Resolved {
    pub(super) fn store(&self, store: Store) -> Result<&Image, BackendError> {
        self.stores.get(&store).ok_or_else(|| BackendError::Failed(format!("{store} has no image")))
    }

    pub(super) fn process(&self, spec: &ProcessSpec) -> Result<&Image, BackendError> {
        self.of(&spec.program).ok_or_else(|| {
            BackendError::Unsupported(format!(
                "{} has no image, only a command: it needs processes",
                spec.name
            ))
        })
    }

    fn of(&self, program: &Program) -> Option<&Image> {
        match program {
            Program::Reference { .. } | Program::Table { .. } => self.fleet.as_ref(),
            Program::External { recipe: Some(recipe), .. } => self.bases.get(&Base::of(recipe)),
            Program::External { image, .. } => image.as_ref().and_then(|image| self.external.get(image)),
            Program::Missing { instead_of } => self.of(instead_of),
        }
    }

    /// Where Python is in the image of that recipe.
    pub(super) fn python(&self, recipe: &Recipe) -> &'static str {
        let base = Base::of(recipe);
        base.python(self.bases.get(&base).map_or("", |image| &image.reference))
    }

    pub(super) fn list(&self) -> Vec<(String, String)> {
        let images =
            self.stores.values().chain(&self.fleet).chain(self.external.values()).chain(self.bases.values());
        images.map(|image| (format!("image {}", image.reference), image.id.clone())).collect()
    }
}

/// Has every image that the scenarios need, before the first of them starts. One that cannot be had
/// here is no reason to start nothing: its scenario says so when its turn comes, and is not run.
pub async fn prepare_images(
    engine: &Engine,
    guard: &Guard,
    scenarios: impl IntoIterator<Item = &Scenario>,
    progress: Progress<'_>,
) -> Result<(), BackendError> {
    for scenario in scenarios {
        match resolve(engine, guard, scenario, progress).await {
            Ok(_) => {}
            Err(BackendError::Environment { what, .. }) => progress(&format!("{}: {what}", scenario.name)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) async fn resolve(
    engine: &Engine,
    guard: &Guard,
    scenario: &Scenario,
    progress: Progress<'_>,
) -> Result<Resolved, BackendError> {
    /// One at a time: what a scenario builds, the next one finds.
    static ONE: Mutex<()> = Mutex::const_new(());
    let _one = ONE.lock().await;
    let resolver = Resolver { docker: &engine.docker, guard, progress };
    let mut resolved = Resolved::default();
    let redis = scenario.stack.redis.as_ref().map(|redis| (Store::Redis, &redis.image));
    let postgres = scenario.stack.postgres.as_ref().map(|postgres| (Store::Postgres, &postgres.image));
    for (store, asked) in redis.into_iter().chain(postgres) {
        let image = resolver.store(store, asked.as_deref()).await?;
        resolved.stores.insert(store, image);
    }
    for spec in scenario.fleet.programs() {
        match &spec.program {
            Program::Reference { .. } | Program::Table { .. } if resolved.fleet.is_none() => {
                let image = fleet_image::current(&engine.docker, guard, progress).await?;
                resolved.fleet = Some(image);
            }
            Program::External { image: Some(image), .. } if !resolved.external.contains_key(image) => {
                let found = resolver.external(image).await?;
                resolved.external.insert(image.clone(), found);
            }
            _ => {}
        }
    }
    for recipe in recipe::all(scenario) {
        let base = Base::of(recipe);
        let image = resolver.base(&base).await?;
        resolved.bases.insert(base, image);
        let python = resolved.python(recipe);
        // Blocks this thread, and nobody waits for another: nothing has started yet.
        contained::install_for(recipe, python, guard, progress)?;
    }
    Ok(resolved)
}

/// The stores' images as they are here, for a person: what, and which, if any.
pub async fn local_images(engine: &Engine) -> Vec<(&'static str, Option<String>)> {
    let mut images = Vec::new();
    for (what, store) in [("image of redis", Store::Redis), ("image of postgres", Store::Postgres)] {
        let mut found = None;
        for reference in [image_build::reference(store), official(store)] {
            if let Ok(Some(image)) = find(&engine.docker, reference).await {
                found = found.or(Some(image.reference));
            }
        }
        images.push((what, found));
    }
    images
}

struct Resolver<'a> {
    docker: &'a Docker,
    guard: &'a Guard,
    progress: Progress<'a>,
}

impl Resolver<'_> {
    async fn store(&self, store: Store, asked: Option<&str>) -> Result<Image, BackendError> {
        let own = image_build::reference(store);
        if let Some(asked) = asked.filter(|asked| *asked != own) {
            return self.external(asked).await;
        }
        for reference in [own, official(store)] {
            if let Some(image) = find(self.docker, reference).await? {
                return Ok(image);
            }
        }
        if asked.is_none()
            && self.pull(official(store)).await.is_ok()
            && let Some(image) = find(self.docker, official(store)).await?
        {
            return Ok(image);
        }
        (self.progress)(&format!("building the image {own} from Debian packages"));
        image_build::build(self.docker, self.guard, store).await?;
        find(self.docker, own)
            .await?
            .ok_or_else(|| BackendError::Failed(format!("{own} was built and is not there")))
    }

    /// What a recipe's program runs in.
    async fn base(&self, base: &Base) -> Result<Image, BackendError> {
        for reference in std::iter::once(base.reference()).chain(base.official()) {
            if let Some(image) = find(self.docker, reference).await? {
                return Ok(image);
            }
        }
        if let Some(official) = base.official()
            && self.pull(official).await.is_ok()
            && let Some(image) = find(self.docker, official).await?
        {
            return Ok(image);
        }
        let reference = base.reference();
        (self.progress)(&format!("building the image {reference} from Debian packages: {}", base.packages()));
        let unfinished = reference.replacen(':', "-base:", 1);
        image_build::carry_out(self.docker, self.guard, &base.plan(&unfinished)).await?;
        find(self.docker, reference)
            .await?
            .ok_or_else(|| BackendError::Failed(format!("{reference} was built and is not there")))
    }

    async fn external(&self, reference: &str) -> Result<Image, BackendError> {
        if let Some(image) = find(self.docker, reference).await? {
            return Ok(image);
        }
        let missing = |error: Error| BackendError::Environment {
            what: format!("the image {reference} is neither here nor to be pulled: {error}"),
            hint: format!("docker pull {reference}, or docker load, on a machine that reaches a registry"),
        };
        self.pull(reference).await.map_err(missing)?;
        find(self.docker, reference)
            .await?
            .ok_or_else(|| BackendError::Failed(format!("{reference} was pulled and is not there")))
    }

    async fn pull(&self, reference: &str) -> Result<(), Error> {
        (self.progress)(&format!("pulling the image {reference}"));
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let mut steps = self.docker.create_image(Some(options), None, None);
        while let Some(step) = steps.next().await {
            step?;
        }
        Ok(())
    }
}

/// What a user finds in a registry. Debian's variants: libfaketime needs glibc.
const fn official(store: Store) -> &'static str {
    match store {
        Store::Redis => "redis:7-bookworm",
        Store::Postgres => "postgres:15-bookworm",
    }
}

pub(super) async fn find(docker: &Docker, reference: &str) -> Result<Option<Image>, BackendError> {
    match docker.inspect_image(reference).await {
        Ok(image) => Ok(image.id.map(|id| Image { reference: reference.to_owned(), id })),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(super::container::failed(&format!("look for the image {reference}"), &error)),
    }
}
