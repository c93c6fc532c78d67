//! Accounts, devices and certificates for the tests of this crate, deterministic by number.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{
    AccountSecret, DeviceCertificate, DeviceEntry, DeviceList, DeviceSecret, SignedCertificate,
    UnverifiedCertificate, UnverifiedDeviceList,
};
use crate::crypto::Secret32;
use crate::test_support::{account_rsa, rng};
use crate::time::Timestamp;

/// When the test devices were made.
pub(crate) const MADE: Timestamp = Timestamp::from_secs(1_700_000_000);

/// The test account of that number.
pub(crate) fn account(number: usize) -> AccountSecret {
    static KEYS: Cache<usize, AccountSecret> = Cache::new(BTreeMap::new());
    cached(&KEYS, number, || {
        let seed = Secret32::from_bytes([number as u8; 32]);
        AccountSecret::from_parts(account_rsa(number), seed)
    })
}

/// The test device of that number.
pub(crate) fn device(number: u64) -> DeviceSecret {
    DeviceSecret::random(MADE, &mut rng(1000 + number))
}

/// The certificate of a device by an account.
pub(crate) fn certificate(account_number: usize, device_number: u64) -> SignedCertificate {
    static SIGNED: Cache<(usize, u64), SignedCertificate> = Cache::new(BTreeMap::new());
    cached(&SIGNED, (account_number, device_number), || {
        let account = account(account_number);
        let keys = account.keys();
        let job = DeviceCertificate::to_sign(keys.address(), &device(device_number), MADE);
        let signed = account
            .sign_and_finish(job, &mut rng(device_number))
            .expect("test keys sign");
        UnverifiedCertificate::from(signed)
            .verify(&keys)
            .expect("what we signed verifies")
    })
}

/// The list of an account with a single device.
pub(crate) fn device_list(account_number: usize, device_number: u64) -> DeviceList {
    static SIGNED: Cache<(usize, u64), DeviceList> = Cache::new(BTreeMap::new());
    cached(&SIGNED, (account_number, device_number), || {
        let account = account(account_number);
        let keys = account.keys();
        let entry = DeviceEntry::from(&*certificate(account_number, device_number));
        let job = DeviceList::to_sign(keys.address(), 1, &[entry]).expect("one device fits");
        let signed = account
            .sign_and_finish(job, &mut rng(device_number))
            .expect("test keys sign");
        UnverifiedDeviceList::from(signed)
            .verify(&keys)
            .expect("what we signed verifies")
    })
}

/// What was made once and is handed out as often as asked: account signatures take milliseconds.
type Cache<K, V> = Mutex<BTreeMap<K, V>>;

fn cached<K: Ord, V: Clone>(cache: &Cache<K, V>, key: K, make: impl FnOnce() -> V) -> V {
    let mut cache = cache.lock().expect("no test panics while making test keys");
    cache.entry(key).or_insert_with(make).clone()
}
