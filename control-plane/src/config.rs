//! The command line: read once, checked as a whole, every fault told together.

use std::net::SocketAddr;
use std::path::PathBuf;

use longshore_protocol::arn::Scope;

/// Serves the ECS Task API for EXTERNAL tasks.
#[derive(Debug, clap::Parser)]
#[command(
    name = "longshore-control-plane",
    version,
    about,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT.
    Serve(ServeArgs),
}

/// How to serve, as given.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Folder for the database, the operator's credentials, keys and certificates; made if it is missing.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// The URL by which nodes and clients reach this control plane [default: scheme and Host of each request].
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// The region of every ARN, which clients sign for.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// The account of every ARN: twelve digits.
    #[arg(long, default_value = "000000000000")]
    pub account: String,
    /// Certificate chain to serve HTTPS with (PEM).
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        conflicts_with = "tls_self_signed"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve HTTPS with a certificate of our own, made at the first start and kept.
    #[arg(long)]
    pub tls_self_signed: bool,
    /// Serve plain HTTP even where other machines can reach it: everybody on the way can read and change everything.
    #[arg(long)]
    pub insecure_plaintext: bool,
    /// File to write the base URL to once the socket listens.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// What speaks on the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP.
    Plain,
    /// HTTPS with somebody's certificate.
    Tls {
        /// The chain (PEM).
        certificate: PathBuf,
        /// The key (PEM).
        key: PathBuf,
    },
    /// HTTPS with our own certificate.
    SelfSigned,
}

/// How to serve, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data folder.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The URL that nodes are to use, without a slash at the end.
    pub public_url: Option<String>,
    /// Region and account.
    pub scope: Scope,
    /// Plain or TLS.
    pub transport: Transport,
    /// The file to write when ready.
    pub ready_file: Option<PathBuf>,
}

/// Everything that is wrong with a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidConfig(Vec<String>);

impl ServeArgs {
    /// Checks the arguments together.
    ///
    /// # Errors
    /// [`InvalidConfig`], with all faults.
    pub fn check(self) -> Result<Config, InvalidConfig> {
        let mut faults = Vec::new();
        let transport = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Transport::Tls { certificate, key },
            _ if self.tls_self_signed => Transport::SelfSigned,
            _ => Transport::Plain,
        };
        if transport == Transport::Plain && !self.listen.ip().is_loopback() && !self.insecure_plaintext {
            faults.push(format!(
                "--listen {}: plain HTTP is refused on an address that is not loopback; give --tls-self-signed, or \
                 --tls-cert and --tls-key, or (if you must) --insecure-plaintext",
                self.listen
            ));
        }
        if self.account.len() != 12 || !self.account.bytes().all(|byte| byte.is_ascii_digit()) {
            faults.push(format!("--account {:?}: must be twelve digits", self.account));
        }
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.region.is_empty() || self.region.len() > 32 || !self.region.bytes().all(letters) {
            faults.push(format!(
                "--region {:?}: must be a name such as us-east-1",
                self.region
            ));
        }
        let public_url = self.public_url.map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = public_url.as_deref().filter(|url| !is_base_url(url)) {
            faults.push(format!("--public-url {url:?}: must be http(s)://HOST[:PORT]"));
        }
        if !faults.is_empty() {
            return Err(InvalidConfig(faults));
        }
        Ok(Config {
            data_dir: self.data_dir,
            listen: self.listen,
            public_url,
            scope: Scope::new(&self.region, &self.account),
            transport,
            ready_file: self.ready_file,
        })
    }
}

fn is_base_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.path().trim_end_matches('/').is_empty()
        && uri.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn parse(arguments: &[&str]) -> Result<Config, InvalidConfig> {
        let fixed = ["longshore-control-plane", "serve", "--data-dir", "/d"];
        let cli = Cli::try_parse_from(fixed.iter().chain(arguments)).unwrap();
        let Command::Serve(serve) = cli.command;
        serve.check()
    }

    #[test]
    fn plain_http_is_for_loopback_unless_insisted_on() {
        assert_eq!(
            parse(&["--listen", "127.0.0.1:0"]).unwrap().transport,
            Transport::Plain
        );
        assert_eq!(
            parse(&["--listen", "[::1]:0"]).unwrap().transport,
            Transport::Plain
        );
        let error = parse(&["--listen", "0.0.0.0:1"]).unwrap_err();
        assert!(error.to_string().contains("--insecure-plaintext"));
        assert!(parse(&["--listen", "0.0.0.0:1", "--insecure-plaintext"]).is_ok());
        let tls = parse(&["--listen", "0.0.0.0:1", "--tls-self-signed"]).unwrap();
        assert_eq!(tls.transport, Transport::SelfSigned);
    }

    #[test]
    fn all_faults_are_told_together() {
        let error = parse(&[
            "--listen",
            "0.0.0.0:1",
            "--account",
            "1",
            "--region",
            "US",
            "--public-url",
            "ftp://x",
        ])
        .unwrap_err();
        assert_eq!(error.0.len(), 4, "{error}");
    }

    #[test]
    fn the_public_url_has_no_slash_at_its_end() {
        let config = parse(&["--listen", "127.0.0.1:0", "--public-url", "https://h:8474/"]).unwrap();
        assert_eq!(config.public_url.as_deref(), Some("https://h:8474"));
        for bad in ["https://h/path", "https://u@h", "h:1", "https://h?q"] {
            assert!(
                parse(&["--listen", "127.0.0.1:0", "--public-url", bad]).is_err(),
                "{bad}"
            );
        }
    }
}
