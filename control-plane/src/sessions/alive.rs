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

/// How long the machine of a peer whose buffers are full may say nothing: one of the kernel's questions may be lost.
const FULL: Duration = Duration::from_secs(300);

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

/// Whether the machine at the other end has answered lately. `lately` is how long that may be where there is an answer to
/// wait for.
pub(super) fn answers(stream: &TcpStream, lately: Duration) -> bool {
    match getsockopt(stream, TcpInfo) {
        Ok(info) => heard(info.tcpi_unacked, info.tcpi_last_ack_recv, lately),
        Err(error) => {
            tracing::debug!(%error, "can't read TCP_INFO");
            false
        }
    }
}

/// By the number of packets that are on their way, and the milliseconds since the last acknowledgement.
fn heard(on_their_way: u32, since: u32, lately: Duration) -> bool {
    let since = Duration::from_millis(since.into());
    match on_their_way {
        0 => since < FULL.max(lately),
        _ => since < lately,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_machine_that_owes_an_answer_is_waited_for_less_long_than_one_that_is_full() {
        let lately = Duration::from_secs(75);
        assert!(heard(3, 74_000, lately) && !heard(3, 75_000, lately));
        assert!(heard(0, 240_000, lately) && !heard(0, 300_000, lately));
    }

    #[tokio::test]
    async fn a_machine_whose_program_reads_nothing_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_unread, _) = listener.accept().await.unwrap();
        keep_unread(&stream);
        let full = async { while stream.write_all(&[0; 65536]).await.is_ok() {} };
        // Until nothing more goes, and the kernel has asked a few times: 0.2, 0.4, 0.8 seconds apart.
        assert!(tokio::time::timeout(Duration::from_secs(3), full).await.is_err());
        assert!(answers(&stream, Duration::from_secs(2)));
    }
}
