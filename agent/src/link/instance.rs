//! Which container instance the node is: registered, registered anew, and whether its assignments were begun.

use longshore_protocol::arn::ContainerInstanceArn;
use longshore_protocol::ecs;

use super::LinkError;
use super::client::Link;

pub(super) const REGISTER: &str = "RegisterContainerInstance";

impl Link {
    /// Returns once the control plane has said that the container instance is not registered any more.
    pub async fn until_inactive(&self) {
        // The sender is here, so it does not close.
        let _ = self.inactive.subscribe().wait_for(|inactive| *inactive).await;
    }

    /// Registers as a container instance without saying which it was. The node is known by its key, so this gives the one
    /// that it has, where it has one.
    ///
    /// # Errors
    /// [`LinkError`]; then it is what it was.
    pub async fn register_anew(
        &self,
        request: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::ContainerInstance, LinkError> {
        self.register_as(None, request).await
    }

    /// Whether no poll of this container instance has begun yet: its assignments are counted from the beginning.
    #[must_use]
    pub fn begins(&self) -> bool {
        self.identity().begins
    }

    /// What was stored of another container instance's assignments is put away: polls of this one may begin.
    ///
    /// # Errors
    /// It can't be stored; then it begins again at the next start, which is harmless.
    pub async fn has_begun(&self) -> Result<(), LinkError> {
        let mut identity = self.identity();
        identity.begins = false;
        self.keep(&identity).await
    }

    /// Registers as the instance that has this ARN, or else under a token that is written down before the call, so that a
    /// call whose answer gets lost is the same call when it is made again.
    pub(super) async fn register_as(
        &self,
        arn: Option<&ContainerInstanceArn>,
        mut request: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::ContainerInstance, LinkError> {
        let mut identity = self.identity();
        if arn.is_none() && identity.client_token.is_none() {
            identity.client_token = Some(uuid::Uuid::new_v4());
            self.keep(&identity).await?;
        }
        request.cluster = Some(self.cluster.clone());
        request.container_instance_arn = arn.map(ToString::to_string);
        request.client_token = match arn {
            Some(_) => None,
            None => identity.client_token.as_ref().map(ToString::to_string),
        };
        let answer: Result<ecs::RegisterContainerInstanceResponse, _> = self.ecs(REGISTER, &request).await;
        if let (None, Err(LinkError::Refused { .. })) = (arn, &answer)
            && identity.client_token.take().is_some()
        {
            // A token belongs to one request; the next one may be another.
            self.keep(&identity).await?;
        }
        let incomplete = |why: &str| LinkError::Unavailable {
            operation: REGISTER,
            why: why.to_owned(),
        };
        let instance = answer?
            .container_instance
            .ok_or_else(|| incomplete("the answer has no instance"))?;
        let given = instance.container_instance_arn.as_deref().unwrap_or_default();
        let given = given
            .parse()
            .map_err(|_| incomplete(&format!("{given:?} is no container instance's ARN")))?;
        let is_new = identity.container_instance.as_ref() != Some(&given);
        if is_new || identity.client_token.is_some() {
            identity.container_instance = Some(given);
            identity.client_token = None;
            identity.begins |= is_new;
            self.keep(&identity).await?;
        }
        self.inactive.send_replace(false);
        Ok(instance)
    }
}
