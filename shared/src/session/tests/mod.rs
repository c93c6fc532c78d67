mod envelope;
mod fragment;
mod reassembly;
