//! Where a registry's images are had: `hosts.toml` in containerd's format, or the registry itself.
//!
//! For `registry.example:5000` the first folder of `registry.example_5000_`, `registry.example:5000` and `_default`
//! that exists under the configured one counts. Hosts are tried as the file has them, then the server. Unlike
//! containerd, a file that can't be read is an error: a mirror that is passed over in silence is found out too late.
//! A folder without `hosts.toml` may have Docker's `*.crt`, and `*.cert` with `*.key`.
//!
//! Limits: `dial_timeout` is passed over with a warning, as is any key that containerd may have added since.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use toml::{Table, Value};
use url::Url;

use crate::blocking;
use crate::files::absent_is_none;

/// A `hosts.toml`, or a folder, that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct HostsError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong, and where.
    pub why: String,
}

/// One place to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The API's root, such as `https://registry-1.docker.io/v2`, without a slash at its end.
    pub root: Url,
    /// Whether tags may be looked up here.
    pub resolves: bool,
    /// Whether manifests and blobs may be fetched by digest here.
    pub pulls: bool,
    /// Said with every request.
    pub headers: HeaderMap,
    /// How TLS is spoken.
    pub tls: TlsOptions,
}

/// What is special about TLS to one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    /// Certificates to trust beside the system's.
    pub ca: Vec<PathBuf>,
    /// Own certificates with their keys.
    pub client: Vec<(PathBuf, PathBuf)>,
    /// Trust anyone.
    pub skip_verify: bool,
}

impl Endpoint {
    /// `host[:port]`, as credentials are named.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.root.authority()
    }
}

/// The places to ask for images of `host`, in order; never empty.
///
/// # Errors
/// [`HostsError`] if there is a configuration that can't be used.
pub async fn endpoints(folder: &Path, host: &str) -> Result<Vec<Endpoint>, HostsError> {
    let (at, name) = (folder.to_owned(), host.to_owned());
    let found = blocking::DISK.run(move || look_up(&at, &name)).await;
    found.map_err(|error| HostsError {
        path: folder.to_owned(),
        why: error.to_string(),
    })?
}

fn look_up(folder: &Path, host: &str) -> Result<Vec<Endpoint>, HostsError> {
    let mut names = vec![host.to_owned(), "_default".to_owned()];
    if let Some((name, port)) = host.rsplit_once(':') {
        names.insert(0, format!("{name}_{port}_"));
    }
    for name in names {
        let folder = folder.join(name);
        let path = folder.join("hosts.toml");
        match fs::read_to_string(&path) {
            Ok(text) => return parse(&text, &folder, host).map_err(|why| HostsError { path, why }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // The folder's parent is a file, or it can't be looked into.
            Err(error) => {
                let why = error.to_string();
                return Err(HostsError { path, why });
            }
        }
        match certificates(&folder) {
            Ok(None) => {}
            Ok(Some(tls)) => return Ok(vec![upstream(host, tls).map_err(|why| HostsError { path, why })?]),
            Err(error) => {
                let (path, why) = (folder, error.to_string());
                return Err(HostsError { path, why });
            }
        }
    }
    let path = folder.to_owned();
    Ok(vec![
        upstream(host, TlsOptions::default()).map_err(|why| HostsError { path, why })?,
    ])
}

/// Docker's certificate files in a folder; `None` if there is no such folder.
fn certificates(folder: &Path) -> std::io::Result<Option<TlsOptions>> {
    let Some(entries) = absent_is_none(fs::read_dir(folder))? else {
        return Ok(None);
    };
    let mut tls = TlsOptions::default();
    for entry in entries {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.ca.push(path),
            Some("cert") => tls.client.push((path.clone(), path.with_extension("key"))),
            Some(_) | None => {}
        }
    }
    tls.ca.sort();
    tls.client.sort();
    Ok(Some(tls))
}

/// The registry itself.
fn upstream(host: &str, tls: TlsOptions) -> Result<Endpoint, String> {
    let host = match host {
        super::super::reference::DOCKER_HUB => "registry-1.docker.io",
        other => other,
    };
    let plain = is_loopback(host) && tls == TlsOptions::default();
    let scheme = if plain { "http" } else { "https" };
    let root = root(&format!("{scheme}://{host}"), false)?;
    Ok(Endpoint {
        root,
        resolves: true,
        pulls: true,
        headers: HeaderMap::new(),
        tls,
    })
}

/// Whether a registry is on this machine and spoken to without TLS: as containerd has it, not on the port of HTTPS.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        Some(_) | None => (host, ""),
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let here = name == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    here && !matches!(port, "" | "443")
}

pub(super) fn parse(text: &str, folder: &Path, host: &str) -> Result<Vec<Endpoint>, String> {
    let mut file: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let server = match file.remove("server") {
        None => String::new(),
        Some(Value::String(server)) => server,
        Some(other) => return Err(format!("server is a {}, not a text", other.type_str())),
    };
    let hosts = match file.remove("host") {
        None => Table::new(),
        Some(Value::Table(hosts)) => hosts,
        Some(other) => return Err(format!("host is a {}, not a table", other.type_str())),
    };
    let mut endpoints = Vec::new();
    for (address, table) in &hosts {
        let Value::Table(table) = table else {
            return Err(format!("host {address:?} is not a table"));
        };
        let made = endpoint(address, table, folder);
        endpoints.push(made.map_err(|why| format!("host {address:?}: {why}"))?);
    }
    let last = match server.is_empty() {
        false => endpoint(&server, &file, folder)?,
        true => {
            let tls = tls(&file, folder)?;
            let settings = endpoint("https://none", &file, folder)?;
            Endpoint {
                root: upstream(host, tls)?.root,
                ..settings
            }
        }
    };
    endpoints.push(last);
    Ok(endpoints)
}

fn endpoint(address: &str, table: &Table, folder: &Path) -> Result<Endpoint, String> {
    let (mut resolves, mut pulls) = (true, true);
    let mut headers = HeaderMap::new();
    let mut override_path = false;
    for (key, value) in table {
        match key.as_str() {
            "capabilities" => (resolves, pulls) = capabilities(value)?,
            "override_path" => override_path = boolean(key, value)?,
            "header" => headers = header(value)?,
            "ca" | "client" | "skip_verify" => {}
            unknown => {
                tracing::warn!(host = address, key = unknown, "a key of hosts.toml is not used");
            }
        }
    }
    let address = match address.contains("://") {
        true => address.to_owned(),
        false => format!("https://{address}"),
    };
    Ok(Endpoint {
        root: root(&address, override_path)?,
        resolves,
        pulls,
        headers,
        tls: tls(table, folder)?,
    })
}

/// The root of the API: `/v2` behind the path, unless it is there or `override_path` says that the path is all.
fn root(address: &str, override_path: bool) -> Result<Url, String> {
    let mut url = Url::parse(address).map_err(|error| format!("{address:?} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("{address:?} is neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a login does not belong in hosts.toml; set ECS_ENGINE_AUTH_DATA".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    match path.ends_with("/v2") || override_path {
        true => url.set_path(&path),
        false => url.set_path(&format!("{path}/v2")),
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn capabilities(value: &Value) -> Result<(bool, bool), String> {
    let names = texts("capabilities", value)?;
    let (mut resolves, mut pulls) = (names.is_empty(), names.is_empty());
    for name in names {
        match name.to_ascii_lowercase().as_str() {
            "resolve" => resolves = true,
            "pull" => pulls = true,
            "push" => {}
            other => return Err(format!("{other:?} is none of pull, resolve and push")),
        }
    }
    Ok((resolves, pulls))
}

fn header(value: &Value) -> Result<HeaderMap, String> {
    let Value::Table(table) = value else {
        return Err("header is not a table".to_owned());
    };
    let mut headers = HeaderMap::new();
    for (name, value) in table {
        let header: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header"))?;
        for text in texts(name, value)? {
            let value: HeaderValue = text
                .parse()
                .map_err(|_| format!("header {name:?} has a value that no header can have"))?;
            headers.append(header.clone(), value);
        }
    }
    Ok(headers)
}

fn tls(table: &Table, folder: &Path) -> Result<TlsOptions, String> {
    let mut tls = TlsOptions::default();
    if let Some(value) = table.get("skip_verify") {
        tls.skip_verify = boolean("skip_verify", value)?;
    }
    if let Some(value) = table.get("ca") {
        tls.ca = texts("ca", value)?.iter().map(|path| folder.join(path)).collect();
    }
    let pairs = match table.get("client") {
        None => Vec::new(),
        Some(Value::Array(pairs)) => pairs.clone(),
        Some(one) => vec![one.clone()],
    };
    for pair in pairs {
        let names = texts("client", &pair)?;
        tls.client.push(match names.as_slice() {
            [both] => (folder.join(both), folder.join(both)),
            [certificate, key] => (folder.join(certificate), folder.join(key)),
            _ => return Err("a client is a file, or a certificate and a key".to_owned()),
        });
    }
    Ok(tls)
}

fn boolean(key: &str, value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("{key} is a {}, not true or false", value.type_str()))
}

/// One text or several.
fn texts(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let wrong = |other: &Value| format!("{key} has a {} where a text is wanted", other.type_str());
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(values) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(value)))
            .collect(),
        other => Err(wrong(other)),
    }
}

#[cfg(test)]
mod tests;
