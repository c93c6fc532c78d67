"""Primitives under the names that docs/PROTOCOL.md gives them.

Thin: hashes from hashlib, BLAKE3 from `blake3`, ciphers, X25519, RSA and signatures from `cryptography`
(OpenSSL), ML-KEM from `kyber-py` (FIPS 203 in Python), CBOR from `cbor2`. Only X-Wing and HPKE are composed here.
"""

import hashlib
import hmac
import io

import cbor2
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_der_public_key
from kyber_py.ml_kem import ML_KEM_768


class Refused(Exception):
    """What came is not acceptable. Its text is a reason for readers; a peer is never told."""


def need(condition, reason):
    """Refuses with `reason` unless `condition` holds."""
    if not condition:
        raise Refused(reason)


# Hashes and key derivation

def b2(bits, domain, *parts):
    """`B2-n(domain, x)`: BLAKE2b over domain ‖ x, with an output of n bits."""
    return hashlib.blake2b(domain.encode() + b"".join(parts), digest_size=bits // 8).digest()


def b2_framed(bits, domain, *parts):
    """`B2-n(domain; a, b, …)`: the lengths of all parts go before the parts."""
    return b2(bits, domain, *[len(part).to_bytes(4, "big") for part in parts], *parts)


def b2_mac(bits, key, data):
    """Keyed BLAKE2b (RFC 7693)."""
    return hashlib.blake2b(data, key=key, digest_size=bits // 8).digest()


def b3_keyed(key, data):
    """Keyed BLAKE3, 32 bytes."""
    return blake3(data, key=key).digest()


def hmac_sha256(key, data):
    return hmac.digest(key, data, "sha256")


def hkdf_extract(salt, ikm):
    return hmac_sha256(salt, ikm)


def hkdf_expand(prk, info, length):
    block, out = b"", b""
    while len(out) < length:
        block = hmac_sha256(prk, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def hkdf(salt, ikm, info, length):
    """`HKDF(salt, ikm, info, n)`: HKDF-SHA256 (RFC 5869)."""
    return hkdf_expand(hkdf_extract(salt, ikm), info, length)


# Ciphers

def xor(a, b):
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def chacha20(key, data):
    """ChaCha20, nonce and counter zero: data ⊕ key stream."""
    return Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(data)


def aes_gcm_open(key, nonce, ciphertext, aad):
    """AES-256-GCM; the tag ends the ciphertext."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, aad)
    except InvalidTag:
        raise Refused("forged") from None


def aes_gcm_seal(key, nonce, plaintext):
    """AES-256-GCM without additional data."""
    return AESGCM(key).encrypt(nonce, plaintext, None)


# Key agreement

def x25519_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret, public):
    """Diffie–Hellman; a public key that gives zero is refused."""
    key = X25519PrivateKey.from_private_bytes(secret)
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("low order") from None


def check_ml_kem_key(public):
    """The check of FIPS 203 §7.2: every coefficient, 12 bits each, is below q."""
    packed = int.from_bytes(public[:1152], "little")
    need(len(public) == 1184 and all(packed >> 12 * i & 0xFFF < 3329 for i in range(768)), "bad kem key")


class MlKem768:
    """An ML-KEM-768 key pair (FIPS 203) from its seed d ‖ z, which is how ZenTalk stores the secret key."""

    def __init__(self, seed):
        self.public, self._secret = ML_KEM_768.key_derive(seed)

    def open(self, ciphertext):
        need(len(ciphertext) == 1088, "ciphertext")
        return ML_KEM_768.decaps(self._secret, ciphertext)


class XWing:
    """An X-Wing key pair (draft-connolly-cfrg-xwing-kem) from its 32-byte secret key."""

    LABEL = b"\\.//^\\"

    def __init__(self, secret):
        expanded = hashlib.shake_256(secret).digest(96)
        self._kem, self._x = MlKem768(expanded[:64]), expanded[64:]
        self._x_public = x25519_public(self._x)
        self.public = self._kem.public + self._x_public

    def open(self, ciphertext):
        need(len(ciphertext) == 1120, "ciphertext")
        for_kem, for_x = ciphertext[:1088], ciphertext[1088:]
        parts = self._kem.open(for_kem), x25519(self._x, for_x), for_x, self._x_public, self.LABEL
        return hashlib.sha3_256(b"".join(parts)).digest()


def hpke_keys(secret, info):
    """(key, nonce) of HPKE base mode (RFC 9180 §5.1): X-Wing (0x647A), HKDF-SHA256 (1), AES-256-GCM (2)."""
    suite = b"HPKE" + bytes.fromhex("647a 0001 0002")

    def extract(salt, label, ikm):
        return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)

    def expand(prk, label, context, length):
        info = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hkdf_expand(prk, info, length)

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    prk = extract(secret, b"secret", b"")
    return expand(prk, b"key", context, 32), expand(prk, b"base_nonce", context, 12)


def hpke_open(key, sealed, info, aad):
    """The one message of an HPKE context: enc ‖ ciphertext."""
    enc, ciphertext = sealed[:1120], sealed[1120:]
    return aes_gcm_open(*hpke_keys(key.open(enc), info), ciphertext, aad)


# Signatures

def check_ed25519_key(public):
    """Strict: a point in its canonical form, and not of small order."""
    p = 2**255 - 19
    d, y = -121665 * pow(121666, -1, p) % p, int.from_bytes(public, "little") & 2**255 - 1
    square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    need(y < p and (square == 0 or pow(square, (p - 1) // 2, p) == 1), "bad key")
    need(square != 0 or public[31] < 128, "bad key")
    for _ in range(3):  # three doublings need no x, only its square: small orders are 1, 2, 4 and 8
        product = d * square * y * y % p
        need((1 + product) * (1 - product) % p != 0, "bad key")
        square, y = 4 * square * y * y * pow(1 + product, -2, p) % p, (y * y + square) * pow(1 - product, -1, p) % p
    need(y != 1, "bad key")


def check_sign(public, domain, message, signature):
    """`Sign(domain, m)`: Ed25519 over domain ‖ 0x00 ‖ m. OpenSSL does not mind small orders; we do."""
    for point in public, signature[:32]:
        check_ed25519_key(point)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, domain.encode() + b"\0" + message)
    except (InvalidSignature, ValueError):
        raise Refused("signature") from None


def sign(seed, domain, message):
    """(public key, `Sign(domain, m)`) by the key of a seed."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.public_key().public_bytes_raw(), key.sign(domain.encode() + b"\0" + message)


def check_rsa_pss(spki, domain, message, signature):
    """RSA-PSS-SHA256, salt 32, over domain ‖ 0x00 ‖ m."""
    try:
        key = load_der_public_key(spki)
        need(key.key_size == 4096 and key.public_numbers().e == 65537, "RSA key")
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        key.verify(signature, domain.encode() + b"\0" + message, pss, hashes.SHA256())
    except (InvalidSignature, ValueError, AttributeError):
        raise Refused("signature") from None


def check_account_sign(account_keys, domain, signed):
    """`AccountSign(domain, m)`: both signatures must verify. Answers m."""
    body, rsa, ml_dsa = field(signed, 0, bytes), field(signed, 1, bytes), field(signed, 2, bytes)
    check_rsa_pss(field(account_keys, 0, bytes), domain, body, rsa)
    try:
        key = MLDSA65PublicKey.from_public_bytes(field(account_keys, 1, bytes))
        key.verify(ml_dsa, body, domain.encode())
    except (InvalidSignature, ValueError):
        raise Refused("signature") from None
    return body


# Bodies

def body_of(data):
    """One CBOR map and nothing after it."""
    stream = io.BytesIO(data)
    try:
        body = cbor2.CBORDecoder(stream).decode()
    except Exception as error:  # whatever the decoder finds
        raise Refused("CBOR") from error
    need(isinstance(body, dict) and stream.tell() == len(data), "CBOR")
    return body


def field(body, key, kind, size=None):
    """The value of an integer key, of this type and, if given, this length."""
    value = body.get(key) if isinstance(body, dict) else None
    need(isinstance(value, kind) and not (kind is int and isinstance(value, bool)), f"field {key}")
    need(kind is not int or 0 <= value < 1 << 64, f"uint of field {key}")
    need(size is None or len(value) == size, f"length of field {key}")
    return value
