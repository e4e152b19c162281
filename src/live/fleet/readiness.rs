//! Whether a worker could do every job (S1): `GET /readyz`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::driver::Asker;
use super::tools::Tools;
use super::{FleetError, http};
use crate::protocol::Tool;

/// Answers on the port for as long as the process lives, also while it stops.
pub(super) async fn serve(port: u16, tools: Tools, database: Asker) -> Result<(), FleetError> {
    let listener = http::listen(port).await?;
    let routes = Router::new().route("/readyz", get(readyz)).with_state(Ready { tools, database });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(())
}

#[derive(Clone)]
struct Ready {
    tools: Tools,
    database: Asker,
}

/// 503 while the database does not answer, or a program that is required is not there.
async fn readyz(State(ready): State<Ready>) -> (StatusCode, Json<Value>) {
    let reached = ready.database.ask().await.online;
    let ok = reached && Tool::ALL.into_iter().all(|tool| !tool.is_required() || ready.tools.has(tool));
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut told = json!({"ok": ok, "database": if reached { "ok" } else { "unreachable" }});
    for tool in Tool::ALL {
        told[tool.as_str()] = ready.tools.has(tool).into();
    }
    (status, Json(told))
}
