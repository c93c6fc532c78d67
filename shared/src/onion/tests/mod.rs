//! Tests of the onion as a whole; those of one file's inner workings stand in that file.

mod descriptors;
mod keyrings;
mod mixing;
mod packets;
mod paths;
mod proofs;
mod relay_keys;
mod routes;
pub(crate) mod support;
mod vectors;
mod weights;
