//! `actuator = 'webhook'`: somebody else carries decisions out, and is told of each by a request.
//!
//! | option | meaning |
//! |---|---|
//! | `url` | where the request goes; the operator's list of webhooks holds |
//! | `secret`, `headers`, `content-type`, `tls.ca`, `tls.cert`, `tls.key` | as those of a trigger's webhook, see [`crate::deliver`] |
//! | `request.timeout` | how long an answer may take; 10 seconds unless set |
//!
//! The document: `{"group": .., "id": .., "activity": .., "at": .., "by": .., "before": .., "size": .., "min": .., "max": ..,
//! "reason": ..}`.
//! An answer of 2xx means that the size is reached; 410 gives the activity up; everything else is tried again.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::World;
use headwater_ingest::Options;
use reqwest::Client;
use serde_json::json;

use super::actuator::{Activity, Actuator, ActuatorContext};
use super::kinds::ActuatorKind;
use crate::deliver::{Attempt, Webhook, read_webhook};
use crate::error::{ConnectorError, Result};

/// The registry's entry.
pub(super) const ACTUATOR: ActuatorKind =
    ActuatorKind { name: "webhook", summary: "posts each decision to a URL", make };

struct WebhookActuator {
    world: World,
    webhook: Webhook,
    client: Option<Client>,
    /// The activity that is tried, and how often it was.
    tried: (String, u32),
}

fn make(context: ActuatorContext, options: &mut Options) -> Result<Box<dyn Actuator>> {
    let url = options.require("url")?;
    let timeout = options.duration("request.timeout")?.unwrap_or(Duration::from_secs(10));
    let (webhook, _) = read_webhook(&url, timeout, &context.allowed, options)?;
    Ok(Box::new(WebhookActuator { world: context.world, webhook, client: None, tried: (String::new(), 0) }))
}

#[async_trait]
impl Actuator for WebhookActuator {
    async fn scale(&mut self, activity: &Activity) -> Result<String> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(self.webhook.client()?).clone(),
        };
        if self.tried.0 != activity.id {
            self.tried = (activity.id.clone(), 0);
        }
        self.tried.1 += 1;
        let attempt = Attempt {
            owner: ("x-headwater-group", activity.group.clone()),
            id: activity.id.clone(),
            is_test: false,
            number: self.tried.1,
            body: document(activity),
        };
        match self.webhook.post(&client, &self.world, &attempt).await {
            Ok(status) => Ok(format!("answered {status}")),
            Err(failure) if failure.retry => Err(ConnectorError::outage("post", failure.reason)),
            Err(failure) => Err(ConnectorError::refused("post", failure.reason)),
        }
    }
}

fn document(activity: &Activity) -> Bytes {
    let Activity { group, id, number, at, by, before, size, bounds: (min, max), reason } = activity;
    let at = at.to_string();
    let document = json!({
        "group": group, "id": id, "activity": number, "at": at, "by": by, "before": before, "size": size, "min": min,
        "max": max, "reason": reason,
    });
    document.to_string().into_bytes().into()
}
