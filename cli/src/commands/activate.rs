//! `longshore activate`: an activation, and the whole line that makes another machine a node with it.

use longshore_protocol::{Timestamp, ssm};
use serde_json::json;

use super::connect;
use crate::args::Activate;
use crate::env_file::quote;
use crate::error::Error;
use crate::tls::{self, Trust};
use crate::{clock, out};

/// The role that CreateActivation wants named; a control plane of ours asks for nothing of it.
pub(crate) const ROLE: &str = "LongshoreNode";

pub(super) async fn activate(options: &Activate) -> Result<(), Error> {
    let (client, cluster) = connect(&options.common)?;
    let ends = clock::now() + jiff::SignedDuration::from_hours(options.hours);
    let request = ssm::CreateActivationRequest {
        iam_role: Some(ROLE.to_owned()),
        registration_limit: Some(options.limit),
        expiration_date: Some(Timestamp::from_millis(ends.as_millisecond())),
        ..Default::default()
    };
    let activation: ssm::CreateActivationResult = client.ssm("CreateActivation", &request).await?;
    let settings = client.settings();
    let trust = tls::trust(&settings.ecs, settings.ca_bundle.as_deref())
        .await
        .map_err(crate::api::ApiError::from)?;
    let endpoint = options.endpoint.as_ref().unwrap_or(&settings.ecs);
    let line = register_line(endpoint, &cluster, &activation, &trust);
    if options.common.json {
        out::json(&json!({
            "ActivationId": activation.activation_id, "ActivationCode": activation.activation_code, "Command": line,
        }))?;
        return Ok(());
    }
    out::line(line)?;
    if is_loopback(endpoint) {
        out::note(
            "Only this machine reaches that endpoint. For others: longshore up --listen 0.0.0.0:8474 --tls-self-signed, \
             and --endpoint with a name or address of this machine.",
        );
    }
    if let Trust::Bundle(bundle) = &trust {
        out::note(format_args!(
            "Copy {} to the machine, to the path that the line names.",
            bundle.display()
        ));
    }
    Ok(())
}

fn register_line(
    endpoint: &url::Url,
    cluster: &str,
    activation: &ssm::CreateActivationResult,
    trust: &Trust,
) -> String {
    let endpoint = endpoint.as_str().trim_end_matches('/');
    let id = activation.activation_id.as_deref().unwrap_or_default();
    let code = activation.activation_code.as_deref().unwrap_or_default();
    let mut words = vec![
        "longshore-agent",
        "register",
        "--endpoint",
        endpoint,
        "--cluster",
        cluster,
    ];
    words.extend(["--activation-id", id, "--activation-code", code]);
    let path;
    match trust {
        Trust::System => {}
        Trust::Fingerprint(digits) => words.extend(["--ca-fingerprint", digits.as_str()]),
        Trust::Bundle(bundle) => {
            path = bundle.display().to_string();
            words.extend(["--ca-cert", path.as_str()]);
        }
    }
    let quoted: Vec<_> = words.into_iter().map(quote).collect();
    quoted.join(" ")
}

fn is_loopback(endpoint: &url::Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_can_be_pasted() {
        let activation = ssm::CreateActivationResult {
            activation_id: Some("id".into()),
            activation_code: Some("co de'".into()),
        };
        let endpoint = "https://10.0.0.1:8474".parse().unwrap();
        assert_eq!(
            register_line(&endpoint, "edge", &activation, &Trust::Fingerprint("ab".into())),
            "longshore-agent register --endpoint https://10.0.0.1:8474 --cluster edge --activation-id id \
             --activation-code 'co de'\\''' --ca-fingerprint ab"
        );
        assert!(!register_line(&endpoint, "edge", &activation, &Trust::System).contains("--ca"));
        let bundle = Trust::Bundle("/a b".into());
        assert!(register_line(&endpoint, "edge", &activation, &bundle).ends_with(" --ca-cert '/a b'"));
    }

    #[test]
    fn loopback_is_told() {
        for (url, loopback) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("https://h", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), loopback, "{url}");
        }
    }
}
