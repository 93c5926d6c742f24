//! Sets the desired capacity, and waits until it is there.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{AutoScalingGroup, LifecycleState};
use headwater_connectors::{Activity, Actuator, ActuatorContext, ActuatorKind, ConnectorError, Deed, Result};
use headwater_ingest::Options;

use crate::access::{Access, failed};

/// The entry among the actuators.
pub const ACTUATOR: ActuatorKind =
    ActuatorKind { name: "ec2_auto_scaling", summary: "sets the size of an EC2 Auto Scaling group", make };

/// An Auto Scaling group there.
struct Ec2 {
    access: Access,
    name: String,
    poll: Duration,
    restore: Option<Duration>,
    client: Option<Client>,
    /// The size that was reached last.
    size: Option<u64>,
    /// Why looking after it failed the last time: it is told once.
    told: Option<String>,
}

fn make(context: ActuatorContext, options: &mut Options) -> Result<Box<dyn Actuator>> {
    let given = options.get("auto-scaling-group");
    let name = given.clone().unwrap_or(context.group);
    context
        .allowed
        .check_auto_scaling(&name)
        .map_err(|reason| options.bad("auto-scaling-group", given.as_deref().unwrap_or_default(), reason))?;
    let poll = options.duration("poll-interval")?.unwrap_or(Duration::from_secs(5));
    let restore = options.duration("restore-interval")?.unwrap_or(Duration::from_secs(60));
    let access = Access::take(options, None)?;
    let restore = (!restore.is_zero()).then_some(restore);
    Ok(Box::new(Ec2 { access, name, poll, restore, client: None, size: None, told: None }))
}

/// What a group has.
#[derive(PartialEq, Eq, Debug)]
struct Found {
    desired: u64,
    /// Instances in service and healthy.
    serving: u64,
    /// All instances, those that start and stop, too.
    all: u64,
}

impl Found {
    fn of(group: &AutoScalingGroup) -> Self {
        let is_gone = |state: Option<&LifecycleState>| {
            matches!(state, Some(LifecycleState::Terminated | LifecycleState::Detached))
        };
        let instances = group.instances().iter().filter(|instance| !is_gone(instance.lifecycle_state()));
        let is_serving = |state: Option<&LifecycleState>| state == Some(&LifecycleState::InService);
        let serving = instances.clone().filter(|instance| {
            let is_healthy =
                instance.health_status().is_none_or(|health| health.eq_ignore_ascii_case("healthy"));
            is_healthy && is_serving(instance.lifecycle_state())
        });
        let desired = u64::try_from(group.desired_capacity().unwrap_or(0)).unwrap_or(0);
        Self { desired, serving: serving.count() as u64, all: instances.count() as u64 }
    }
}

impl Ec2 {
    async fn client(&mut self) -> Result<Client> {
        Ok(match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(Client::new(&self.access.config().await?)).clone(),
        })
    }

    async fn look(&self, client: &Client) -> Result<Found> {
        let what = || format!("look at Auto Scaling group {}", self.name);
        let answer = client.describe_auto_scaling_groups().auto_scaling_group_names(&self.name).send().await;
        let answer = answer.map_err(|error| failed(what(), &error))?;
        let group = answer.auto_scaling_groups().first();
        group.map(Found::of).ok_or_else(|| ConnectorError::refused(what(), "there is none of that name"))
    }

    /// Sets the size again if somebody else has changed it, and says so.
    async fn restore(&mut self, size: u64) -> Result<Option<String>> {
        let client = self.client().await?;
        let found = self.look(&client).await?.desired;
        if found == size {
            return Ok(None);
        }
        self.set(&client, size).await?;
        Ok(Some(format!("somebody else had set the desired capacity to {found}; it is {size} again")))
    }

    async fn set(&self, client: &Client, size: u64) -> Result<()> {
        let what = || format!("set the desired capacity of Auto Scaling group {} to {size}", self.name);
        let capacity = i32::try_from(size).map_err(|error| ConnectorError::refused(what(), error))?;
        let request = client.set_desired_capacity().auto_scaling_group_name(&self.name);
        let request = request.desired_capacity(capacity).honor_cooldown(false);
        request.send().await.map(drop).map_err(|error| failed(what(), &error))
    }
}

#[async_trait]
impl Actuator for Ec2 {
    async fn scale(&mut self, activity: &Activity) -> Result<String> {
        let client = self.client().await?;
        let size = activity.size;
        let before = self.look(&client).await?;
        if before.desired != size {
            self.set(&client, size).await?;
        }
        self.size = Some(size);
        loop {
            let found = self.look(&client).await?;
            if (found.serving, found.all) == (size, size) {
                let Found { desired, .. } = before;
                return Ok(format!("the desired capacity was {desired}; {size} instances are in service"));
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    /// The group there outlives this process: what is restored is its size.
    async fn resume(&mut self, size: u64) -> Result<()> {
        self.size = Some(size);
        Ok(())
    }

    fn tends_every(&self) -> Option<Duration> {
        self.restore
    }

    /// A failure is told as a deed that did not succeed: it stops nothing, as the next decision may well be carried out.
    async fn tend(&mut self) -> Result<Vec<Deed>> {
        let Some(size) = self.size else { return Ok(Vec::new()) };
        let restored = self.restore(size).await;
        let failure = restored.as_ref().err().map(ToString::to_string);
        let is_news = failure != std::mem::replace(&mut self.told, failure.clone());
        let deed = |succeeded, detail| Deed { action: "restore", succeeded, detail };
        Ok(match (restored, failure) {
            (Ok(Some(detail)), _) => vec![deed(true, detail)],
            (_, Some(failure)) if is_news => vec![deed(false, failure)],
            _ => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::Instance;

    use super::*;

    #[test]
    fn an_instance_counts_when_it_is_in_service_and_healthy() {
        let instance =
            |state, health: &str| Instance::builder().lifecycle_state(state).health_status(health).build();
        let group = AutoScalingGroup::builder()
            .desired_capacity(3)
            .instances(instance(LifecycleState::InService, "Healthy"))
            .instances(instance(LifecycleState::InService, "Unhealthy"))
            .instances(instance(LifecycleState::Pending, "Healthy"))
            .instances(instance(LifecycleState::Terminating, "Healthy"))
            .instances(instance(LifecycleState::Terminated, "Healthy"))
            .build();
        assert_eq!(Found::of(&group), Found { desired: 3, serving: 1, all: 4 });
    }
}
