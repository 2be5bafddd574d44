//! Providers behind the ports that jobs see.

use domain::ports::{PortFuture, WebhookAnswer, WebhookDelivery, WebhookFault, WebhookSender};
use providers::webhook::{DeliverError, Delivery, WebhookClient};

/// The webhook client as jobs see it.
pub struct WebhookPort {
    client: WebhookClient,
}

impl WebhookPort {
    /// Wraps the process' one client.
    #[must_use]
    pub fn new(client: WebhookClient) -> Self {
        Self { client }
    }
}

impl WebhookSender for WebhookPort {
    fn deliver<'a>(
        &'a self,
        delivery: WebhookDelivery<'a>,
    ) -> PortFuture<'a, Result<WebhookAnswer, WebhookFault>> {
        Box::pin(async move {
            let outcome = self
                .client
                .deliver(Delivery {
                    url: delivery.url.to_string(),
                    event_id: delivery.event_id.to_owned(),
                    event_type: delivery.event_type.to_owned(),
                    timestamp: delivery.timestamp,
                    body: delivery.body.to_vec(),
                    secrets: delivery.secrets.to_vec(),
                    timeout: delivery.timeout,
                })
                .await
                .map_err(|error| fault(&error))?;
            Ok(WebhookAnswer {
                status: outcome.status,
                retry_after: outcome.retry_after,
                body: outcome.body,
                took: outcome.duration,
            })
        })
    }
}

fn fault(error: &DeliverError) -> WebhookFault {
    match error {
        DeliverError::BadUrl(_) | DeliverError::RefusedAddress(_) => WebhookFault::Refused(error.to_string()),
        DeliverError::Signature(_) | DeliverError::EventType => WebhookFault::Unsignable(error.to_string()),
        // Everything on the way there and back may be different the next time.
        _ => WebhookFault::Unreachable { code: error.code(), message: error.to_string() },
    }
}
