//! `longshore-agent register`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Failure, block_on, note, print};
use crate::app::{self, DataDirLock};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Warning};
use crate::http::{CertificateClock, Client, Fingerprint, Trust, client_config};
use crate::link::{Activation, Identity, IdentityFiles, LinkError, register};

/// What an operator pastes.
#[derive(Args, Debug)]
pub struct RegisterArgs {
    /// The control plane: `http(s)://HOST[:PORT]`
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    endpoint: String,
    /// The cluster to join
    #[arg(long, value_name = "NAME", value_parser = cluster)]
    cluster: String,
    /// The activation's id
    #[arg(long, value_name = "ID")]
    activation_id: String,
    /// The activation's code
    #[arg(long, value_name = "CODE")]
    activation_code: String,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE", conflicts_with = "ca_fingerprint")]
    ca_cert: Option<PathBuf>,
    /// Trust only the certificate with this SHA-256, and what it signed
    #[arg(long, value_name = "SHA256")]
    ca_fingerprint: Option<Fingerprint>,
}

fn endpoint(text: &str) -> Result<String, String> {
    crate::config::endpoint(text).ok_or_else(|| format!("must be {}", crate::config::ENDPOINT_FORM))
}

fn cluster(text: &str) -> Result<String, String> {
    match longshore_protocol::arn::is_valid_name(text) {
        true => Ok(text.to_owned()),
        false => Err("must be letters, digits, - and _, at most 255".to_owned()),
    }
}

pub(super) fn run(config: &Config, warnings: &[Warning], args: &RegisterArgs) -> Result<(), Failure> {
    for warning in warnings {
        note(&format!("warning: {warning}"));
    }
    if args.endpoint.starts_with("http://") && !app::is_loopback(&args.endpoint) {
        note("warning: without https the activation code and all that follows can be read on the way");
    }
    let trust = trust(args)?;
    let files = IdentityFiles::new(&config.data_dir);
    let _lock = DataDirLock::take(&config.data_dir)?;
    let identity = match files.find()? {
        Some(identity) => {
            if identity.endpoint != args.endpoint || identity.cluster != args.cluster {
                return Err(elsewhere(identity));
            }
            match block_on(still_known(config, &identity, &trust))? {
                true => {
                    return print(&format!("registered already as {}\n", identity.instance_id));
                }
                false => note("the control plane does not know this node any more; it becomes a new one"),
            }
            // What runs here was made by an agent that knew of no owner, maybe.
            files.owner(&identity.instance_id)?;
            block_on(become_node(config, &files, args, trust))?
        }
        None => block_on(become_node(config, &files, args, trust))?,
    };
    print(&format!(
        "registered as {} in the cluster {}; start it with `systemctl enable --now longshore-agent` or \
         `longshore-agent run`\n",
        identity.instance_id, identity.cluster
    ))
}

fn trust(args: &RegisterArgs) -> Result<Trust, Failure> {
    match (&args.ca_cert, args.ca_fingerprint) {
        (Some(path), _) => {
            let pem = std::fs::read_to_string(path).map_err(|source| Failure::File {
                path: path.clone(),
                source,
            })?;
            crate::http::certificates(&pem)?;
            Ok(Trust::AlsoPem(pem))
        }
        (None, Some(fingerprint)) => Ok(Trust::Only(fingerprint)),
        (None, None) => Ok(Trust::System),
    }
}

fn elsewhere(identity: Identity) -> Failure {
    Failure::RegisteredElsewhere {
        instance: identity.instance_id.to_string(),
        endpoint: identity.endpoint,
        cluster: identity.cluster,
    }
}

/// Whether the control plane takes the key that is here. Asked with the trust that was given now, so that a new
/// certificate of the same control plane is no reason for a new node.
async fn still_known(config: &Config, identity: &Identity, trust: &Trust) -> Result<bool, Failure> {
    let link = app::link(config, identity.clone(), trust)?;
    match link.check_identity().await {
        Ok(()) => {
            link.set_trust(trust)?;
            Ok(true)
        }
        Err(LinkError::Identity { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn become_node(
    config: &Config,
    files: &IdentityFiles,
    args: &RegisterArgs,
    trust: Trust,
) -> Result<Identity, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificates = Arc::new(CertificateClock::new(Arc::clone(&clock)));
    let http = Client::watchful(client_config(&trust, Arc::clone(&certificates))?, &config.proxy);
    let activation = Activation {
        endpoint: args.endpoint.clone(),
        cluster: args.cluster.clone(),
        id: args.activation_id.clone(),
        code: args.activation_code.clone(),
        trust,
    };
    let fingerprint = crate::host::read(config)
        .map_err(app::AppError::from)?
        .fingerprint;
    Ok(register(http, certificates, clock, files, &activation, &fingerprint).await?)
}
