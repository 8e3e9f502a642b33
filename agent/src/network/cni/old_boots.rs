//! What an earlier boot left: its rules and namespaces went with it, what its plugins gave out did not.
//!
//! It is given back while everything else goes on. Nobody has to wait for that: whoever attaches or detaches a container
//! takes back by himself what is left of it, one at a time a container. What was attached meanwhile is left alone, and
//! ports that are expected stay so. Only who finds all addresses taken waits for some to come back.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{CniNetwork, Shared, listed};
use crate::model::ContainerId;
use crate::network::files::remove_folder;
use crate::network::lock::{Lock, lock, remove_if_bare};
use crate::network::record::{Found, Record};
use crate::network::{Attach, Attachment, NetworkError, leases, namespace};

/// How many networks are given back at a time: a plugin that hangs for one holds up no other, and those who need the
/// firewall's lock for a container of this boot are not kept from it for long.
const AT_ONCE: usize = 8;
/// How long one who finds no address waits for those of an earlier boot, at most. One that is not given back by then hangs.
const WAIT: Duration = Duration::from_secs(60);

/// How many networks were given back; `None` while nobody is at it.
pub(super) type GivenBack = watch::Sender<Option<u64>>;

struct UnderWay<'a>(&'a GivenBack);

impl<'a> UnderWay<'a> {
    fn new(given_back: &'a GivenBack) -> Self {
        given_back.send_replace(Some(0));
        Self(given_back)
    }

    fn one_more(&self) {
        self.0
            .send_modify(|count| *count = count.map(|count| count.saturating_add(1)));
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

impl CniNetwork {
    /// Attaches a container to the bridge. If there is no address for it while those of an earlier boot are being given
    /// back, it is tried again as they are: that counts as no failure.
    pub(super) async fn attach_when_there_is_room(
        &self,
        request: &Attach,
        lock: &Lock,
    ) -> Result<Attachment, NetworkError> {
        let mut given_back = self.given_back.subscribe();
        let mut too_late = std::pin::pin!(self.clock.sleep(WAIT));
        loop {
            let is_under_way = given_back.borrow_and_update().is_some();
            let attached = self.attach_bridge(request, lock).await;
            let is_full = attached.as_ref().is_err_and(NetworkError::is_out_of_addresses);
            if !is_full || !is_under_way {
                return attached;
            }
            self.take_back(&request.container, lock).await?;
            tokio::select! {
                biased;
                () = &mut too_late => return attached,
                _ = given_back.changed() => {}
            }
        }
    }

    /// Gives back what an earlier boot left. Answers with what could not be; that stays listed.
    ///
    /// # Errors
    /// If the data folder can't be read.
    pub async fn forget_old_boots(&self) -> Result<Vec<(ContainerId, NetworkError)>, NetworkError> {
        let under_way = UnderWay::new(&self.given_back);
        let old = self.blocking(|shared| {
            let leases = leases::held(&shared.network)?;
            // Of one that can't be looked at it is told what is wrong, when it is its turn.
            let is_old =
                |id: &ContainerId| is_old(shared, id, || Ok(leases.contains_key(id))).unwrap_or(true);
            let all = listed(shared, &leases)?;
            Ok(Vec::from_iter(all.into_iter().filter(is_old)))
        });
        let giving_back = futures_util::stream::iter(old.await?)
            .map(|id| async {
                let given_back = self.give_back(&id).await;
                under_way.one_more();
                given_back.err().map(|error| (id, error))
            })
            .buffer_unordered(AT_ONCE);
        let failed: Vec<_> = giving_back.collect().await;
        self.blocking(|shared| leases::remove_nameless(&shared.network))
            .await?;
        Ok(failed.into_iter().flatten().collect())
    }

    async fn give_back(&self, container: &ContainerId) -> Result<(), NetworkError> {
        let folder = self.folder(container);
        // It is made where there is nothing but a lease.
        let Some(lock) = lock(&folder, true, &*self.clock).await? else {
            return Ok(());
        };
        let (id, at) = (container.clone(), folder.clone());
        let still_old = move |shared: &Shared| {
            let old = is_old(shared, &id, || {
                Ok(leases::held(&shared.network)?.contains_key(&id))
            })?;
            if !old {
                remove_if_bare(&at)?;
            }
            Ok(old)
        };
        if !self.locked(&lock, still_old).await? {
            return Ok(());
        }
        self.take_back(container, &lock).await?;
        self.locked(&lock, move |_| remove_folder(&folder)).await
    }
}

/// Whether what is there of a container is an earlier boot's; `leased` says whether it has an address.
fn is_old(
    shared: &Shared,
    container: &ContainerId,
    leased: impl FnOnce() -> Result<bool, NetworkError>,
) -> Result<bool, NetworkError> {
    match Record::read(&shared.layout.attachments.join(container.to_string()))? {
        Found::Record(record) => Ok(record.boot_id != shared.boot_id),
        Found::Nothing | Found::Unreadable(_) => {
            let path = shared.layout.namespaces.join(container.to_string());
            // `host` and `none` have neither a namespace here nor a lease.
            let bridged = path.exists() || leased()?;
            Ok(bridged && !namespace::is_mounted(&path))
        }
    }
}
