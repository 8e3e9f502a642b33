//! What an earlier boot left: its rules and namespaces went with it, what its plugins gave out did not.
//!
//! It is given back while everything else goes on. Nobody has to wait for that: whoever attaches or detaches a container
//! takes back by himself what is left of it, one at a time a container. What was attached meanwhile is left alone, and
//! ports that are expected stay so. Who finds all addresses taken meanwhile is told that there will be some
//! ([`NetworkError::NoAddressYet`]); a plugin that hangs ends that after two minutes at most, by its deadline.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;

use super::{CniNetwork, Shared, listed};
use crate::model::ContainerId;
use crate::network::files::remove_folder;
use crate::network::lock::{lock, remove_if_bare};
use crate::network::record::{Found, Record};
use crate::network::{NetworkError, leases, namespace};

/// How many networks are given back at a time: a plugin that hangs for one holds up no other, and those who need the
/// firewall's lock for a container of this boot are not kept from it for long.
const AT_ONCE: usize = 8;
/// Whether something of an earlier boot is being given back.
#[derive(Default)]
pub(super) struct OldBoots(AtomicBool);

/// Until it is dropped.
struct Leaving<'a>(&'a OldBoots);

impl OldBoots {
    pub(super) fn are_leaving(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn leave(&self) -> Leaving<'_> {
        self.0.store(true, Ordering::Release);
        Leaving(self)
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

impl CniNetwork {
    /// Gives back what an earlier boot left. Answers with what could not be; that stays listed.
    ///
    /// # Errors
    /// If the data folder can't be read.
    pub async fn forget_old_boots(&self) -> Result<Vec<(ContainerId, NetworkError)>, NetworkError> {
        let _leaving = self.old_boots.leave();
        let old = self.blocking(|shared| {
            let leases = leases::held(&shared.network)?;
            // Of one that can't be looked at it is told what is wrong, when it is its turn.
            let is_old =
                |id: &ContainerId| is_old(shared, id, || Ok(leases.contains_key(id))).unwrap_or(true);
            let all = listed(shared, &leases)?;
            Ok(Vec::from_iter(all.into_iter().filter(is_old)))
        });
        let giving_back = futures_util::stream::iter(old.await?)
            .map(|id| async { self.give_back(&id).await.err().map(|error| (id, error)) })
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
