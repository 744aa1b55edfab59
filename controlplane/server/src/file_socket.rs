// SPDX-License-Identifier: Apache-2.0
//! A plain socket that lets the kernel send files.
//!
//! The blob store gives out parts of files as slices of memory that nobody has read yet. hyper queues them like
//! any other bytes; when they come here to be written, they are recognised and go from the page cache to the socket
//! (`sendfile`) without passing through this process. What stands before them, the head of an answer, is sent with
//! `MSG_MORE`, so that it shares a packet with what follows.

use std::io;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hythe_blobs::{FilePart, file_part};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// The most bytes that the kernel is asked to send in one call, so that other connections get their turn.
const MAX_SENT_BYTES: usize = 1024 * 1024;

/// A TCP connection without encryption.
#[derive(Debug)]
pub(crate) struct FileSocket(TcpStream);

impl FileSocket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Runs a system call that writes, again when the socket is ready, until it does not have to wait.
    fn poll_call(
        &self,
        context: &mut Context<'_>,
        mut call: impl FnMut(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self
                .0
                .try_io(Interest::WRITABLE, || call(&self.0).map_err(io::Error::from))
            {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_send_file(&self, context: &mut Context<'_>, part: &FilePart, length: usize) -> Poll<io::Result<usize>> {
        let length = length.min(MAX_SENT_BYTES);
        let sent = ready!(self.poll_call(context, |socket| {
            let mut offset = part.offset;
            rustix::fs::sendfile(socket, &part.file, Some(&mut offset), length)
        }));
        match sent {
            Ok(0) if length > 0 => {
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the blob file has become shorter");
                report(part, &error);
                Poll::Ready(Err(error))
            }
            // Of the disk: a client that went away is another error.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                report(part, &error);
                Poll::Ready(Err(error))
            }
            sent => Poll::Ready(sent),
        }
    }
}

/// The head of the answer is on its way: all that is left is to break the body off, and to say why.
fn report(part: &FilePart, error: &io::Error) {
    // The file is open, and its name says which blob it is.
    let path = std::fs::read_link(format!("/proc/self/fd/{}", part.file.as_raw_fd())).unwrap_or_default();
    tracing::error!(blob.path = %path.display(), error = %error, "a blob cannot be read to its end");
}

impl AsyncRead for FileSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for FileSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match file_part(bytes) {
            Some(part) => this.poll_send_file(context, &part, bytes.len()),
            None => Pin::new(&mut this.0).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first_file = parts
            .iter()
            .enumerate()
            .find_map(|(at, part)| Some((at, part.len(), file_part(part)?)));
        match first_file {
            None => Pin::new(&mut this.0).poll_write_vectored(context, parts),
            Some((0, length, part)) => this.poll_send_file(context, &part, length),
            Some((at, ..)) => {
                let before = parts.get(..at).unwrap_or_default();
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                this.poll_call(context, |socket| {
                    sendmsg(socket, before, &mut SendAncillaryBuffer::default(), flags)
                })
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt as _;
    use hythe_blobs::{BlobStore as _, FsBlobStore, Hasher, Progress};
    use hythe_model::{Algorithm, UploadId};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn files_and_other_bytes_arrive_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FsBlobStore::open(folder.path()).unwrap());
        let content: Vec<u8> = (0u32..1_000_000).flat_map(u32::to_le_bytes).collect();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&content);
        let digest = hasher.finish();
        let from = Progress {
            bytes: 0,
            hasher: Hasher::new(Algorithm::Sha256),
        };
        let upload = UploadId::generate();
        let body = Box::pin(futures::stream::iter([Ok(content.clone().into())]));
        let appended = store.append(upload, from, body, u64::MAX).await;
        store.commit(upload, appended.progress, &digest).await.unwrap();

        // Only what is in the page cache is sent from the file.
        let read = store.read(&digest, 0..u64::MAX).await.unwrap().unwrap();
        let _in_memory: Vec<_> = read.try_collect().await.unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sending = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = FileSocket::new(stream);
            let chunks = store.read_to_send(&digest, 7..3_999_999).await.unwrap().unwrap();
            let chunks: Vec<_> = chunks.try_collect().await.unwrap();
            assert!(chunks.iter().any(|chunk| file_part(chunk).is_some()));
            for chunk in chunks {
                let mut parts = [io::IoSlice::new(b"<"), io::IoSlice::new(&chunk), io::IoSlice::new(b">")];
                let mut left = &mut parts[..];
                while !left.is_empty() {
                    let wrote = socket.write_vectored(left).await.unwrap();
                    io::IoSlice::advance_slices(&mut left, wrote);
                }
            }
            socket.shutdown().await.unwrap();
        };
        let receiving = async {
            let mut received = Vec::new();
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.read_to_end(&mut received).await.unwrap();
            received
        };
        let ((), received) = tokio::join!(sending, receiving);
        let mut want = Vec::new();
        for chunk in content[7..3_999_999].chunks(1024 * 1024) {
            want.push(b'<');
            want.extend_from_slice(chunk);
            want.push(b'>');
        }
        assert!(received == want);
    }
}
