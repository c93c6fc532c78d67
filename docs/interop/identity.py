"""Who signs what, and how it is found: relay descriptors (§4), accounts, devices and records (§7), prekeys (§8)."""

from dataclasses import dataclass

from primitives import (
    aes_gcm_open, b2, b2_framed, body_of, check_account_sign, check_ed25519_key, check_ml_kem_key, check_rsa_pss, check_sign, field, hkdf,
    need,
)


# Accounts and devices

def address_of(account_keys):
    keys = field(account_keys, 0, bytes), field(account_keys, 1, bytes, 1952)
    return b2_framed(256, "ZenTalk address v1", *keys)


def device_id_of(device_key):
    return b2(128, "ZenTalk device v1", device_key)


@dataclass
class Certificate:
    """A device as its account certifies it."""

    address: bytes
    device_key: bytes
    device_id: bytes
    identity: bytes
    hash: bytes

    @classmethod
    def of_body(cls, data):
        """Reads a certificate-body; whoever got it elsewhere than from its owner uses `check` or `listed`."""
        body = body_of(data)
        need(field(body, 0, int) == 1, "certificate version")
        address, device = field(body, 1, bytes, 32), field(body, 2, bytes, 32)
        field(body, 4, int)
        return cls(address, device, device_id_of(device), field(body, 3, bytes, 32), b2(256, "ZenTalk hash v1", data))

    @classmethod
    def check(cls, account_keys, signed):
        """The certificate in an account-signed, when both signatures verify and the account is its own."""
        certificate = cls.of_body(check_account_sign(account_keys, "ZenTalk device certificate v1", signed))
        need(certificate.address == address_of(account_keys), "address")
        return certificate

    @classmethod
    def listed(cls, address, device_list, data):
        """The certificate of a body that a checked device list of this account names by hash: it needs no signature."""
        need(len(data) <= 256, "length")
        certificate = cls.of_body(data)
        need(certificate.address == address, "address")
        need((certificate.device_id, certificate.hash) in device_list.devices, "device list")
        return certificate


# Contact codes and records

def contact_code(text):
    """(Address, directory key) of a contact code, bare or in a link: bech32m (BIP 350) without its limit on length."""
    code = "".join(text.split()).lower().rpartition("#add/")[2]
    need(code, "empty")
    data = bech32_data("zen", code)
    need(len(data) == 64, "wrong length")
    check_ed25519_key(data[32:])
    return data[:32], data[32:]


ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32_expanded(prefix):
    return [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]


def bech32_text(prefix, data):
    """The lower-case bech32m text of bytes."""
    count = -(-8 * len(data) // 5)
    bits = int.from_bytes(data, "big") << 5 * count - 8 * len(data)
    values = [bits >> 5 * (count - 1 - i) & 31 for i in range(count)]
    checksum = bech32_checksum(bech32_expanded(prefix) + values + [0] * 6) ^ 0x2BC830A3
    values += [checksum >> 5 * (5 - i) & 31 for i in range(6)]
    return prefix + "1" + "".join(ALPHABET[value] for value in values)


def bech32_data(wanted, text):
    """The bytes of a lower-case bech32m text (BIP 350, any length) with the prefix `wanted`."""
    prefix, _, rest = text.rpartition("1")
    need(prefix == wanted, "wrong prefix")
    need(len(rest) >= 6 and all(letter in ALPHABET for letter in rest), "bad character")
    values = [ALPHABET.index(letter) for letter in rest]
    need(bech32_checksum(bech32_expanded(prefix) + values) == 0x2BC830A3, "bad checksum")
    bits = 0
    for value in values[:-6]:
        bits = bits << 5 | value
    spare = 5 * len(values[:-6]) % 8
    need(spare < 5 and bits & ((1 << spare) - 1) == 0, "padding")
    return (bits >> spare).to_bytes(5 * len(values[:-6]) // 8, "big")


def bech32_checksum(values):
    checksum = 1
    for value in values:
        top, checksum = checksum >> 25, (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum


@dataclass
class Device:
    """One device of a record."""

    certificate: Certificate
    sealing_key: bytes
    mailbox_key: bytes
    mailbox: bytes


def check_record(record):
    """(directory key, sequence, expires, sealed contents)"""
    directory_key, sealed = field(record, 0, bytes, 32), field(record, 3, bytes)
    sequence, expires = field(record, 1, int), field(record, 2, int)
    message = sequence.to_bytes(8, "big") + expires.to_bytes(8, "big") + sealed
    check_sign(directory_key, "ZenTalk record v1", message, field(record, 4, bytes, 64))
    return directory_key, sequence, expires, sealed


def open_sealed(sealed, key):
    """nonce[12] ‖ AES-256-GCM"""
    return aes_gcm_open(key, sealed[:12], sealed[12:], b"")


def open_record(sealed, address):
    """The contents of a record of this account."""
    padded = open_sealed(sealed, hkdf(b"ZenTalk record v1", address, b"", 32))
    need(len(padded) in (12288, 27392), "padded to another length")
    end = 2 + int.from_bytes(padded[:2], "big")
    need(end <= len(padded) and not any(padded[end:]), "padding")
    return padded[2:end]


def check_contents(contents, address, now):
    """The devices in a record's contents, when all signatures verify."""
    account_keys = field(contents, 0, dict)
    need(address_of(account_keys) == address, "address")
    listed = check_device_list(account_keys, field(contents, 1, dict), address)
    devices = [check_device(address, listed, entry) for entry in field(contents, 3, list)]
    need(len({d.certificate.device_id for d in devices}) == len(devices), "a device twice")
    signer = next((d for d in devices if d.certificate.device_id == field(field(contents, 2, dict), 3, bytes, 16)), None)
    need(signer is not None, "freshness")
    check_freshness(field(contents, 2, dict), listed, signer.certificate.device_key, now)
    return devices


@dataclass
class DeviceList:
    hash: bytes
    sequence: int
    devices: list


def check_device_list(account_keys, signed, address):
    data = check_account_sign(account_keys, "ZenTalk device list v1", signed)
    body = body_of(data)
    need(field(body, 0, bytes, 32) == address, "address")
    devices = [tuple(entry) for entry in field(body, 2, list)]
    need(1 <= len(devices) <= 10 and len({number for number, _ in devices}) == len(devices), "device list")
    return DeviceList(b2(256, "ZenTalk hash v1", data), field(body, 1, int), devices)


DAY = 24 * 3600 * 1000
FRESH_FOR, AHEAD, SEALING_KEY_LIFE, BUNDLE_AGE = 7 * DAY, 1 * DAY, 30 * DAY, 37 * DAY


def check_freshness(freshness, listed, device_key, now):
    """(list hash, sequence, time)"""
    digest, sequence, time = field(freshness, 0, bytes, 32), field(freshness, 1, int), field(freshness, 2, int)
    need((digest, sequence) == (listed.hash, listed.sequence), "freshness")
    message = digest + sequence.to_bytes(8, "big") + time.to_bytes(8, "big")
    check_sign(device_key, "ZenTalk freshness v1", message, field(freshness, 4, bytes, 64))
    need(now - time <= FRESH_FOR, "expired")
    need(time - now <= AHEAD, "future")
    return digest, sequence, time


def check_device(address, listed, entry):
    certificate = Certificate.listed(address, listed, field(entry, 0, bytes))
    mailbox_key = check_mailbox(body_of(field(entry, 2, bytes)))
    mailbox = mailbox_of(mailbox_key)
    sealing_key, _, _ = check_sealing_key(field(entry, 1, dict), certificate, mailbox)
    return Device(certificate, sealing_key, mailbox_key, mailbox)


def check_sealing_key(sealing, certificate, mailbox):
    """(X-Wing key, created, expires); mailbox is the MailboxId that it must be for."""
    key, created, expires = field(sealing, 0, bytes, 1216), field(sealing, 1, int), field(sealing, 2, int)
    message = certificate.device_id + mailbox + key + created.to_bytes(8, "big") + expires.to_bytes(8, "big")
    check_sign(certificate.device_key, "ZenTalk sealing key v1", message, field(sealing, 3, bytes, 64))
    need(created < expires <= created + SEALING_KEY_LIFE, "lifetime")
    check_ml_kem_key(key[:1184])
    return key, created, expires


def check_mailbox(descriptor):
    """The mailbox key of a mailbox-descriptor, which signs it."""
    data = field(descriptor, 0, bytes)
    body = body_of(data)
    key, members, active = field(body, 0, bytes, 32), field(body, 2, list), field(body, 3, int)
    need(1 <= active <= len(members) <= 6 and len(set(members)) == len(members), "members")
    check_sign(key, "ZenTalk mailbox descriptor v1", data, field(descriptor, 1, bytes, 64))
    return key


def mailbox_of(mailbox_key):
    return b2(160, "ZenTalk mailbox v1", mailbox_key)


# Prekeys

def open_prekeys(sealed, address, mailbox):
    """What was sealed for the relays of a mailbox."""
    return open_sealed(sealed, hkdf(b"ZenTalk prekeys v1", address, mailbox, 32))


def check_signed_prekey(prekey, device_key):
    """(id, X25519 key, created)"""
    number, key, created = field(prekey, 0, int), field(prekey, 1, bytes, 32), field(prekey, 2, int)
    message = number.to_bytes(4, "big") + key + created.to_bytes(8, "big")
    check_sign(device_key, "ZenTalk signed prekey v1", message, field(prekey, 3, bytes, 64))
    return number, key, created


def check_kem_prekey(prekey, device_key):
    """(id, ML-KEM key, last resort)"""
    number, key, last = field(prekey, 0, int), field(prekey, 1, bytes, 1184), field(prekey, 2, bool)
    message = number.to_bytes(4, "big") + key + bytes([last])
    check_sign(device_key, "ZenTalk kem prekey v1", message, field(prekey, 3, bytes, 64))
    return number, key, last


def check_bundle(base, one_time, certificate, now):
    """The ids of the signed prekey and of the KEM prekey to use: what a relay gave of this device, when all is well."""
    named = field(base, 0, bytes, 16), field(base, 1, bytes, 32)
    need(named == (certificate.device_id, certificate.hash), "other device")
    need(3 in base, "no kem key")
    signed, _, created = check_signed_prekey(field(base, 2, dict), certificate.device_key)
    kem, _, is_last = check_kem_prekey(field(base, 3, dict), certificate.device_key)
    need(is_last, "kem key of the wrong kind")
    need(now - created <= BUNDLE_AGE, "stale")
    if one_time is not None and 1 in one_time:
        kem, _, is_last = check_kem_prekey(field(one_time, 1, dict), certificate.device_key)
        need(not is_last, "kem key of the wrong kind")
    return signed, kem


# Relays

def check_descriptor(data):
    """(NodeId, descriptor hash) of a descriptor whose signatures verify. Times are the caller's to check."""
    need(len(data) <= 8192, "length")
    signed = body_of(data)
    spki, relay_key = field(signed, 0, bytes), field(signed, 1, bytes, 32)
    check_rsa_pss(spki, "ZenTalk relay key v1", relay_key, field(signed, 2, bytes, 512))
    body = field(signed, 3, bytes)
    check_sign(relay_key, "ZenTalk descriptor v1", body, field(signed, 4, bytes, 64))
    node = b2(160, "ZenTalk node v1", spki)
    need(field(body_of(body), 0, bytes, 20) == node, "node")
    return node, b2(256, "ZenTalk descriptor hash v1", data)
