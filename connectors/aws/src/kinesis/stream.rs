//! A stream there: what it is called, and its shards.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use headwater_connectors::{ConnectorError, Result};

use crate::access::failed;

/// What a stream is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum StreamRef {
    /// By its name, in the account that asks.
    Name(String),
    /// By its ARN, of any account.
    Arn(String),
}

impl StreamRef {
    /// What is shown of it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(name) => format!("Kinesis stream {name}"),
            Self::Arn(arn) => format!("Kinesis stream {arn}"),
        }
    }

    /// The name that requests carry.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Arn(_) => None,
        }
    }

    /// The ARN that requests carry.
    pub(super) fn arn(&self) -> Option<String> {
        match self {
            Self::Name(_) => None,
            Self::Arn(arn) => Some(arn.clone()),
        }
    }

    /// All shards that still have records or take some, in the order of their creation.
    pub(super) async fn shards(&self, client: &Client) -> Result<Vec<Shard>> {
        let (mut shards, mut token) = (Vec::new(), None::<String>);
        loop {
            let request = client.list_shards();
            // A token stands for the stream, too, and the two must not come together.
            let request = match token.take() {
                Some(token) => request.next_token(token),
                None => request.set_stream_name(self.name()).set_stream_arn(self.arn()),
            };
            let answer = request.send().await;
            let answer =
                answer.map_err(|error| failed(format!("list the shards of {}", self.shown()), &error))?;
            shards.extend(answer.shards.unwrap_or_default());
            token = answer.next_token;
            if token.is_none() {
                return Ok(shards);
            }
        }
    }

    /// The ARN, asked for if it is not known.
    pub(super) async fn find_arn(&self, client: &Client) -> Result<String> {
        if let Self::Arn(arn) = self {
            return Ok(arn.clone());
        }
        let answer = client.describe_stream_summary().set_stream_name(self.name()).send().await;
        let answer = answer.map_err(|error| failed(format!("describe {}", self.shown()), &error))?;
        let summary = answer.stream_description_summary;
        summary.map(|summary| summary.stream_arn).ok_or_else(|| {
            ConnectorError::outage(format!("describe {}", self.shown()), "the answer has no description")
        })
    }
}
