//! The way of a request from a data-plane worker to the control thread and back.

use super::{Peer, answer};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tower::ServiceExt;

/// Requests that the control thread works on at the same time; the rest waits in the queue.
const RUNNING_MAX: usize = 32;

/// A request on its way, and where its answer is awaited.
#[derive(Debug)]
pub(super) struct Job {
    request: Request<Bytes>,
    peer: SocketAddr,
    answer: oneshot::Sender<Response<Bytes>>,
}

/// A worker's end. Clones share the queue; works on every async runtime.
#[derive(Clone, Debug)]
pub struct Handover {
    jobs: mpsc::Sender<Job>,
}

impl Handover {
    /// Asks the control plane. `peer` is the address of the client's socket.
    ///
    /// It never waits for room: where `Options::queue_max` requests wait already, or the
    /// control thread is gone, the answer is 503 with `Retry-After`.
    pub async fn call(&self, request: Request<Bytes>, peer: SocketAddr) -> Response<Bytes> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            request,
            peer,
            answer,
        };
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return answer::unavailable("The control plane is busy; try again.");
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return answer::unavailable("The control plane has stopped.");
            }
        }
        // Fails where the handler panicked or the thread ended: the sender is gone.
        answered
            .await
            .unwrap_or_else(|_| answer::unavailable("The control plane gave no answer."))
    }
}

pub(super) fn channel(queue_max: usize) -> (Handover, mpsc::Receiver<Job>) {
    let (jobs, receiver) = mpsc::channel(queue_max.max(1));
    (Handover { jobs }, receiver)
}

/// Room for the requests that are worked on.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(RUNNING_MAX))
}

/// Answers jobs until the channel is closed and empty and all of `running` have ended.
///
/// It may be dropped and called again: no job is lost between.
pub(super) async fn answer_all(
    router: &Router,
    jobs: &mut mpsc::Receiver<Job>,
    running: &Arc<Semaphore>,
) {
    loop {
        let room = Arc::clone(running).acquire_owned().await;
        let room = room.expect("this semaphore is never closed");
        let Some(job) = jobs.recv().await else {
            break;
        };
        let router = router.clone();
        tokio::spawn(async move {
            let response = respond(router, job.request, job.peer).await;
            // The client may have gone: then nobody waits, and that is fine.
            let _unawaited = job.answer.send(response);
            drop(room);
        });
    }
    let _all = running.acquire_many(RUNNING_MAX as u32).await;
}

async fn respond(router: Router, request: Request<Bytes>, peer: SocketAddr) -> Response<Bytes> {
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(Peer(peer));
    let Ok(response) = router.oneshot(request).await;
    let (head, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(head, body.to_bytes()),
        Err(error) => {
            tracing::error!(%error, "an answer of the control plane broke off");
            answer::unavailable("The answer of the control plane broke off.")
        }
    }
}
