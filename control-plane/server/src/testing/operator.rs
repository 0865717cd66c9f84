use std::sync::Arc;

use tokio::sync::oneshot;

use super::Rig;
use crate::admin::{self, Client};

/// An operator's client of the control plane, and the server that answers it.
pub(crate) struct Operator {
    pub(crate) client: Client,
    _stop: oneshot::Sender<()>,
}

impl Rig {
    /// Serves the operators' API until the returned operator is dropped.
    pub(crate) async fn operator(&self) -> Operator {
        let (stop, stopped) = oneshot::channel();
        let (socket, router) = (self.plane.config.admin_socket(), admin::router(Arc::clone(&self.plane)));
        let client = Client::new(&socket);
        tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            admin::run(&socket, router, stopped).await
        });
        while client.get::<serde_json::Value>("/v1/sessions").await.is_err() {
            tokio::task::yield_now().await;
        }
        Operator { client, _stop: stop }
    }
}
