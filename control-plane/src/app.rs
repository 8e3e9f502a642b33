//! The control plane as a whole: what it is made of, and how it is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_protocol::arn::Scope;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Hub;
use crate::api::Bodies;
use crate::auth::{Authenticator, OperatorKeyError, OperatorKeys, TokenKey};
use crate::chance::Chance;
use crate::clock::{Clock, WatchedClock};
use crate::sessions::{self, Limits, Sessions};
use crate::store::{Store, StoreError, clusters, sessions as stored, system};

/// The name of the credentials file in the data folder.
pub const CREDENTIALS: &str = "credentials";
/// The name of the database in the data folder.
pub const DATABASE: &str = "control-plane.db";

/// What has to be known to open a control plane.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder; it is there.
    pub data_dir: PathBuf,
    /// Region and account of every ARN.
    pub scope: Scope,
    /// The URL that nodes are to use, without a slash at the end; without one, the caller's own.
    pub public_url: Option<String>,
    /// `https` or `http`: what the listener speaks.
    pub scheme: &'static str,
    /// How long what of a session may take.
    pub(crate) sessions: Limits,
}

/// Why a control plane can't be opened. None is mended by trying again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operators' keys.
    #[error(transparent)]
    OperatorKeys(#[from] OperatorKeyError),
    /// Region and account are part of every name that is stored, and that nodes hold.
    #[error(
        "the data folder belongs to region {} and account {}, not to {} and {}: start with those, or with another \
         --data-dir",
        stored.region, stored.account, given.region, given.account
    )]
    OtherScope {
        /// Of the first start.
        stored: Box<Scope>,
        /// Of this one.
        given: Box<Scope>,
    },
    /// No randomness.
    #[error("the system's random generator failed")]
    Random,
}

/// A control plane.
#[derive(Debug)]
pub struct ControlPlane {
    /// Region and account of every ARN.
    pub scope: Scope,
    /// The URL that nodes are to use.
    pub public_url: Option<String>,
    /// What the listener speaks.
    pub scheme: &'static str,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The same, for how old things are.
    pub(crate) watched: Arc<WatchedClock>,
    /// The ids of what is made.
    pub chance: Arc<dyn Chance>,
    /// The database.
    pub store: Store,
    /// The nodes.
    pub hub: Hub,
    /// Exec sessions and the like that are not over.
    pub(crate) sessions: Sessions,
    /// Who may do what.
    pub auth: Authenticator,
    /// This start, as cursors name it.
    pub incarnation: String,
    /// Cancelled when it is time to end: polls are answered at once.
    pub shutdown: CancellationToken,
    /// Operations under way. They run to their end even if the caller hangs up, so that a commit is always followed
    /// by what has to follow it.
    pub operations: TaskTracker,
    /// The room for requests' bodies.
    pub(crate) bodies: Bodies,
}

impl ControlPlane {
    /// Opens the data folder and begins a new incarnation.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Result<Arc<Self>, OpenError> {
        // First, so that a folder that can't be read gets no database.
        let operators = OperatorKeys::load_or_create(&settings.data_dir.join(CREDENTIALS))?;
        let store = Store::open(&database(&settings.data_dir)).await?;
        Self::begin(settings, operators, store, clock, chance).await
    }

    /// Begins a new incarnation on a store that is open.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn begin(
        settings: Settings,
        operators: OperatorKeys,
        store: Store,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Result<Arc<Self>, OpenError> {
        let incarnation = chance.uuid().simple().to_string();
        let mut fresh = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| OpenError::Random)?;
        let earlier = system::readings(&mut *store.read().await?).await?;
        let watched = Arc::new(WatchedClock::new(clock, &earlier));
        let store = store.watching(Arc::clone(&watched));
        let mut transaction = store.write().await?;
        let clock: Arc<dyn Clock> = Arc::<WatchedClock>::clone(&watched);
        let now = clock.now_millis();
        let stored = system::scope(&mut transaction, &settings.scope).await?;
        if stored != settings.scope {
            return Err(OpenError::OtherScope {
                stored: Box::new(stored),
                given: Box::new(settings.scope),
            });
        }
        let token_key = system::token_key(&mut transaction, &fresh).await?;
        clusters::ensure_default(&mut transaction, now).await?;
        system::begin_incarnation(&mut transaction, &incarnation, now).await?;
        let alive = stored::alive(&mut transaction).await?;
        transaction.commit().await?;
        let auth = Authenticator {
            region: settings.scope.region.clone(),
            operators,
            tokens: TokenKey::new(&token_key),
            clock: Arc::clone(&clock),
        };
        let plane = Arc::new(Self {
            scope: settings.scope,
            public_url: settings.public_url,
            scheme: settings.scheme,
            hub: Hub::new(Arc::clone(&clock)),
            sessions: Sessions::new(settings.sessions),
            clock,
            watched,
            chance,
            store,
            auth,
            incarnation,
            shutdown: CancellationToken::new(),
            operations: TaskTracker::new(),
            bodies: Bodies::new(),
        });
        sessions::revive(&plane, alive);
        Ok(plane)
    }
}

fn database(folder: &Path) -> PathBuf {
    folder.join(DATABASE)
}
