//! Whether the machine at the other end of a socket is there, though its program says nothing: it may be reading nothing.
//!
//! A terminal that is held (Ctrl-S) has the stock client stop at its output: then it answers no ping. Its machine still
//! acknowledges what comes, and, once its buffers are full, the kernel's questions whether there is room, which come two
//! minutes apart in the end.

use std::time::Duration;

use nix::libc;
use nix::sys::socket::sockopt::{GetStruct, TcpUserTimeout};
use nix::sys::socket::{getsockopt, setsockopt};
use tokio::net::TcpStream;

/// After how long without an answer a machine is gone: one of the kernel's questions may be lost, or its answer.
const SILENT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy)]
struct TcpInfo;

nix::getsockopt_impl!(
    TcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info,
    GetStruct<libc::tcp_info>
);

/// Has the kernel keep a connection whose peer reads nothing: with a TCP_USER_TIMEOUT it ends those too, though the peer's
/// machine answers it.
pub(super) fn keep_unread(stream: &TcpStream) {
    if let Err(error) = setsockopt(stream, TcpUserTimeout, &0) {
        tracing::debug!(%error, "can't set TCP_USER_TIMEOUT");
    }
}

/// Whether the machine at the other end has answered lately. For a client that reads nothing, and for whom there is always
/// something to be answered: pings, or the kernel's questions.
pub(super) fn answers(stream: &TcpStream) -> bool {
    match getsockopt(stream, TcpInfo) {
        Ok(info) => Duration::from_millis(info.tcpi_last_ack_recv.into()) < SILENT,
        Err(error) => {
            tracing::debug!(%error, "can't read TCP_INFO");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_machine_whose_program_reads_nothing_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_unread, _) = listener.accept().await.unwrap();
        keep_unread(&stream);
        let full = async { while stream.write_all(&[0; 65536]).await.is_ok() {} };
        // Until nothing more goes, and the kernel has asked a few times: 0.2, 0.4, 0.8 seconds apart.
        assert!(tokio::time::timeout(Duration::from_secs(3), full).await.is_err());
        assert!(answers(&stream));
    }
}
