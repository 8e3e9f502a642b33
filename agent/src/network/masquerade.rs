//! Takes away a container's masquerading rule where the bridge plugin can't.
//!
//! That plugin knows the rule by the addresses of the interface inside. A DEL that is killed after it took the interface
//! away, as when the agent is told to end, leaves rule and chain for good: the next DEL finds no interface, and calls it
//! done. They are known by the chain's name, which the plugins make of network and container.

use std::process::Stdio;

use tokio::process::Command;

use super::NetworkError;
use super::plugin::{Call, Plugins};

/// Seconds to wait for others who change rules.
const WAIT: &str = "30";
/// A chain's name, with its prefix.
const NAME_LENGTH: usize = 28;

/// The chain of a container, as `FormatChainName` of the plugins has it.
fn chain(bridge: &str, container: &str) -> String {
    let whole = format!("{bridge}{container}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, whole.as_bytes());
    let mut name = format!("CNI-{}", longshore_protocol::sigv4::hex(digest.as_ref()));
    name.truncate(NAME_LENGTH);
    name
}

/// What `iptables-restore` is to be told, if these rules, as `iptables -S` lists them, have anything of the chain.
fn removal(rules: &str, chain: &str) -> Option<String> {
    let made = format!("-N {chain}");
    if !rules.lines().any(|line| line == made) {
        return None;
    }
    let jump = format!(" -j {chain}");
    let jumps = rules.lines().filter(|line| line.ends_with(&jump));
    let deleted: String = jumps
        .filter_map(|line| line.strip_prefix("-A "))
        .map(|rule| format!("-D {rule}\n"))
        .collect();
    Some(format!("*nat\n-F {chain}\n{deleted}-X {chain}\nCOMMIT\n"))
}

/// Removes what is left of a container's rule and chain, all at once. Removing what is not there is nothing.
pub(super) async fn remove(plugins: &Plugins, call: &Call<'_>, bridge: &str) -> Result<(), NetworkError> {
    let rules = run(plugins, call, "iptables", &["-t", "nat", "-S"], "").await?;
    match removal(&rules, &chain(bridge, &call.container.to_string())) {
        None => Ok(()),
        Some(input) => run(plugins, call, "iptables-restore", &["--noflush"], &input)
            .await
            .map(drop),
    }
}

/// What a program says.
async fn run(
    plugins: &Plugins,
    call: &Call<'_>,
    program: &str,
    words: &[&str],
    input: &str,
) -> Result<String, NetworkError> {
    // Whoever comes next waits for whoever has the lock, so the program gets it where it has nothing to read or to say.
    let lock = call.lock.try_clone();
    let lock = Stdio::from(lock.map_err(|error| call.failed(program, error.to_string()))?);
    let (stdin, stdout) = match input {
        "" => (lock, Stdio::piped()),
        _ => (Stdio::piped(), lock),
    };
    let mut command = Command::new(program);
    command.args(["-w", WAIT]).args(words);
    command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
    let why = match plugins.drive(command, input.as_bytes()).await {
        Ok((true, output)) => return Ok(String::from_utf8_lossy(&output).into_owned()),
        Ok((false, words)) => String::from_utf8_lossy(&words).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(call.failed(program, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "CNI-96fdafb96237543bd3830782";

    #[test]
    fn the_chain_has_the_name_that_the_plugins_give_it() {
        // Seen on a machine with version 1.1.1.
        assert_eq!(chain("longshore0", "82d1c53a45f74ba98e78b1701813697d-0"), CHAIN);
    }

    #[test]
    fn what_is_of_other_containers_stays() {
        let other = "-P POSTROUTING ACCEPT\n-N CNI-000000000000000000000000\n\
                     -A POSTROUTING -s 172.29.0.3/32 -j CNI-000000000000000000000000\n";
        assert_eq!(removal(other, CHAIN), None);
        let rule =
            format!("POSTROUTING -s 172.29.0.2/32 -m comment --comment \"id: \\\"c-0\\\"\" -j {CHAIN}");
        let rules = format!("{other}-N {CHAIN}\n-A {rule}\n-A {CHAIN} ! -d 224.0.0.0/4 -j MASQUERADE\n");
        let expected = format!("*nat\n-F {CHAIN}\n-D {rule}\n-X {CHAIN}\nCOMMIT\n");
        assert_eq!(removal(&rules, CHAIN), Some(expected));
    }
}
