//! HTTP as the harness and its fleet speak it: to each other, and to Prometheus.

use std::error::Error;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A client for what this host serves: whatever proxy the environment names is not asked. An answer
/// that is not whole within `patience` is an error.
pub fn direct(patience: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().timeout(patience)
}

/// The chain of causes: reqwest's own text only says that sending failed.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// As Prometheus scrapes them.
pub fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, registry);
    ([(CONTENT_TYPE, METRICS)], text).into_response()
}
