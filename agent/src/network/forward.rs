//! Lets what comes for a mapped port through to its container.
//!
//! The firewall plugin accepts what containers send, and the answers to it. That is enough where forwarding is allowed
//! by default; on a host whose policy is DROP, as Docker sets it, a connection from another machine to a mapped port
//! needs a rule of its own. It stands in the firewall plugin's chain, so that the plugin must have run.

use std::net::IpAddr;
use std::process::Stdio;

use tokio::process::Command;

use super::NetworkError;
use super::plugin::{Call, Plugins, Verb};

/// Seconds to wait for others who change rules.
const WAIT: &str = "30";

/// The rule, but for its command.
fn rule(call: &Call<'_>, address: IpAddr) -> Vec<String> {
    let words = format!(
        "CNI-FORWARD -d {address}/32 -m conntrack --ctstate DNAT -m comment --comment longshore:{} -j ACCEPT",
        call.container
    );
    words.split(' ').map(str::to_owned).collect()
}

async fn iptables(
    plugins: &Plugins,
    call: &Call<'_>,
    verb: &str,
    address: IpAddr,
) -> Result<(), NetworkError> {
    let run = async {
        let mut command = Command::new("iptables");
        command
            .args(["-w", WAIT, "-t", "filter", verb])
            .args(rule(call, address))
            .stdin(Stdio::from(call.lock.try_clone()?))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        plugins.drive(command, &[]).await
    };
    let why = match run.await {
        Ok((true, _)) => return Ok(()),
        Ok((false, words)) => String::from_utf8_lossy(&words).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(call.failed("iptables", why))
}

/// Adds or removes the rule for each address. Removing what is not there is nothing.
pub(super) async fn change(
    plugins: &Plugins,
    call: &Call<'_>,
    addresses: &[IpAddr],
) -> Result<(), NetworkError> {
    for address in addresses {
        match call.verb {
            Verb::Add => iptables(plugins, call, "-A", *address).await?,
            Verb::Del => {
                let Err(error) = iptables(plugins, call, "-D", *address).await else {
                    continue;
                };
                // It fails if there is no such rule, or no such chain since a reboot.
                if iptables(plugins, call, "-C", *address).await.is_ok() {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}
