//! Requests that only a mailbox's owner may make: whose they are, and which in their order.
//!
//! The signature binds the request to this relay and operation. The sequence is checked by the store, in
//! the operation itself: a request that has passed is refused, and the very last one, repeated because
//! its reply was lost, is answered again without taking effect twice.

use minicbor::Decode;
use zentalk_shared::crypto::hash::blake2b_256;
use zentalk_shared::id::{MailboxId, NodeId};
use zentalk_shared::rpc::{OwnerOp, OwnerRequest, Refusal};
use zentalk_shared::wire::budget::MAX_RPC_LEN;
use zentalk_shared::wire::codec::from_cbor;

use super::store::{Owned, OwnerStamp, StoreError};

/// A request whose signature holds, with the body of its operation.
pub(super) struct Verified<T> {
    pub(super) mailbox: MailboxId,
    pub(super) stamp: OwnerStamp,
    pub(super) body: T,
}

/// Checks the signature and reads the body.
pub(super) fn verify<T: for<'b> Decode<'b, ()>>(
    request: &OwnerRequest,
    me: &NodeId,
    op: OwnerOp,
) -> Result<Verified<T>, Refusal> {
    let (mailbox, body) = request.verify(me, op).map_err(|_| Refusal::NotAllowed)?;
    let name: &[u8] = match op {
        OwnerOp::Subscribe => b"subscribe",
        OwnerOp::Fetch => b"fetch",
        OwnerOp::PreKeyPublish => b"prekeys",
    };
    let digest = blake2b_256(b"ZenTalk relay owner request v1", &[name, body]);
    let sequence = request.sequence();
    let body = from_cbor(body, MAX_RPC_LEN).map_err(|_| Refusal::Malformed)?;
    Ok(Verified {
        mailbox,
        stamp: OwnerStamp { sequence, digest },
        body,
    })
}

/// What the store has answered, as a result or the reason to refuse.
pub(super) fn owned<T>(answer: Result<Owned<T>, StoreError>) -> Result<T, Refusal> {
    match answer {
        Ok(Owned::Done(value)) => Ok(value),
        Ok(Owned::Stale) => Err(Refusal::StaleSequence),
        Ok(Owned::Unknown) => Err(Refusal::Unknown),
        Ok(Owned::Full) | Err(StoreError::Full) => Err(Refusal::Full),
        Err(StoreError::Failed) => Err(Refusal::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zentalk_shared::identity::MailboxSecret;
    use zentalk_shared::rpc::FetchBody;
    use zentalk_shared::wire::codec::{BoundedBytes, to_cbor};

    #[test]
    fn a_stamp_tells_requests_of_one_number_apart() {
        let me = NodeId::from_bytes([1; 20]);
        let key = MailboxSecret::random(&mut ChaCha20Rng::seed_from_u64(1));
        let sign = |op, after| {
            let body = BoundedBytes::new(to_cbor(&FetchBody { after, limit: 3 })).unwrap();
            OwnerRequest::sign(&key, &me, op, 7, body)
        };
        let stamp =
            |op, request: &OwnerRequest| verify::<FetchBody>(request, &me, op).map(|v| v.stamp);
        let first = stamp(OwnerOp::Fetch, &sign(OwnerOp::Fetch, 0)).unwrap();
        assert_eq!(stamp(OwnerOp::Fetch, &sign(OwnerOp::Fetch, 0)), Ok(first));
        assert_ne!(stamp(OwnerOp::Fetch, &sign(OwnerOp::Fetch, 1)), Ok(first));
        let other_op = stamp(OwnerOp::PreKeyPublish, &sign(OwnerOp::PreKeyPublish, 0));
        assert_ne!(other_op, Ok(first));
        let elsewhere = verify::<FetchBody>(
            &sign(OwnerOp::Fetch, 0),
            &NodeId::from_bytes([2; 20]),
            OwnerOp::Fetch,
        );
        assert_eq!(elsewhere.err(), Some(Refusal::NotAllowed));
    }
}
