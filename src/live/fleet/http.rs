//! Serving HTTP until SIGTERM.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::driver::Signals;
use super::emit::emit;
use super::{Ended, FleetError};
use crate::protocol::FleetEvent;

/// On all addresses, as a container must.
pub(super) async fn listen(port: u16) -> Result<TcpListener, FleetError> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
    listener.map_err(|source| FleetError::Io { what: "listen on PORT", source })
}

/// Serves on all addresses, as a container must. After SIGTERM the requests under way have `grace`.
pub(super) async fn serve(
    port: u16,
    routes: Router,
    mut signals: Signals,
    grace: Duration,
) -> Result<Ended, FleetError> {
    let failed = |what| move |source| FleetError::Io { what, source };
    let listener = listen(port).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(async {
        // Dropped or sent: both mean stop.
        let _ = stopped.await;
    });
    let mut serving = std::pin::pin!(serving.into_future());
    emit(FleetEvent::Ready { pid: std::process::id() });
    tokio::select! {
        ended = &mut serving => {
            return ended.map(|()| Ended { forced: false }).map_err(failed("serve HTTP"));
        }
        () = signals.terminated() => {}
    }
    emit(FleetEvent::ShuttingDown { active: 0 });
    drop(stop);
    let forced = timeout(grace, serving).await.is_err();
    emit(FleetEvent::Stopped { forced });
    Ok(Ended { forced })
}
