"""Write vectors/seal.json: sealed payloads, signatures and attestations, and the primitives under them.

    python tests/make_seal_vectors.py

Most bytes come from the libraries as the protocol page says to use them, written down here a second time; the worked
examples of the page are among them. ``primitives`` has vectors of others, a few of each: those of NIST's CAVP for GCM
(gcmEncryptExtIV256.rsp and gcmDecrypt256.rsp, a work of the US government), those of RFC 5869 for HKDF-SHA-256 (its
appendix A) and those of RFC 8032 for Ed25519 (its section 7.1); and faulty tags and signatures of the kinds that
Project Wycheproof has, computed here. No file of others is copied.
"""

import hashlib
import json
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from rendering import VECTORS

import ecgframe

PATH = VECTORS / "seal.json"
SECRET = bytes(range(32))
SENDER = bytes(range(0xA0, 0xA8))
SIGNING = bytes(range(0x20, 0x40))
RECORD = bytes.fromhex("00010100 00000004 00060ef981a90fd0 08c8d0dcec 03ed00")
PLAIN_RECORD = bytes.fromhex("00010000 00000004 00060ef981a90fd0") + struct.pack(
    "<8h", 100, 104, 110, 118, -3, -3, -2, 0
)
ALERT = ecgframe.pack({"kind": "asystole", "timestamp": 1705314645.25, "stream": "ecg/1"})
ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group (RFC 8032, section 5.1)


def derived(stream, sender=SENDER, secret=SECRET):
    okm = HKDF(hashes.SHA256(), 44, sender, b"ecgframe seal 1\0" + stream.encode()).derive(secret)
    return okm[:32], okm[32:]


def sealed(plain, *, version, type, flags=0, form=0, counter=0, stream="ecg/1", key_id=9):
    key, iv = derived(stream)
    prefix = struct.pack(">I8sI", key_id, SENDER, counter)
    associated = bytes((type, flags & (0x41 if version == 4 else 0x01), form & 7)) + prefix
    nonce = iv[:8] + (int.from_bytes(iv[8:], "big") ^ counter).to_bytes(4, "big")
    return prefix + AESGCM(key).encrypt(nonce, plain, associated)


def seal_case(name, plain, **how):
    how = {"flags": 0, "form": 0, "counter": 0, "stream": "ecg/1", **how}
    return {"name": name, **how, "plain": plain.hex(), "sealed": sealed(plain, **how).hex()}


def seals():
    yield seal_case("record in version 4", RECORD, version=4, type=1, form=4, counter=57)
    yield seal_case("alert in version 3", ALERT, version=3, type=2, flags=4, counter=58)
    yield seal_case("empty payload", b"", version=4, type=2)
    yield seal_case("largest counter", ALERT, version=4, type=2, counter=2**24 - 1)
    yield seal_case("signed and deflated, other flags and BULK", ALERT, version=4, type=1, flags=0x5D, form=0x10)
    yield seal_case("deflated in version 3, other flags", ALERT, version=3, type=1, flags=0x1D)
    yield seal_case("template", b"\x81\xa8template\x01", version=4, type=0x23)
    yield seal_case("attestation", b"\x80", version=4, type=0x24, counter=3)
    yield seal_case("no stream", ALERT, version=3, type=4, stream="")
    yield seal_case("name that is not ASCII", ALERT, version=4, type=1, stream="Bett 7/µV")
    yield seal_case("1 KiB", bytes(i * 7 & 0xFF for i in range(1024)), version=4, type=1, counter=70000)


def seal_refusals():
    good = sealed(ALERT, version=4, type=2, counter=5)
    how = {"version": 4, "type": 2, "flags": 0, "form": 0, "stream": "ecg/1"}

    def case(name, payload, code, reason=None, **other):
        return {"name": name, **how, **other, "sealed": payload.hex(), "code": code, "check": 8, "reason": reason}

    yield case("31 bytes", good[:31], "0x200")
    yield case("no bytes", b"", "0x200")
    yield case("cut by one byte", good[:-1], "0x202", "tag")
    yield case("one byte more", good + b"\0", "0x202", "tag")
    yield case("another type", good, "0x202", "tag", type=1)
    yield case("COMPRESSED added", good, "0x202", "tag", flags=1)
    yield case("SIGNED added", good, "0x202", "tag", flags=0x40)
    yield case("RECORD added", good, "0x202", "tag", form=4)
    yield case("another algorithm", good, "0x202", "tag", form=1)
    yield case("another stream", good, "0x202", "stream", stream="ecg/2")
    yield case("no stream", good, "0x202", "stream", stream="")
    yield case("a control message", good, "0x202", "type", type=0x11)
    yield case("another sender", good[:4] + bytes(8) + good[12:], "0x202", "tag")
    yield case("another counter", good[:15] + b"\x06" + good[16:], "0x202", "tag")
    yield case("a counter of 2^24", good[:12] + b"\x01\0\0\0" + good[16:], "0x202", "counter")
    yield case("the largest counter", good[:12] + b"\xff\xff\xff\xff" + good[16:], "0x202", "counter")
    yield case("ciphertext flipped", good[:16] + bytes([good[16] ^ 1]) + good[17:], "0x202", "tag")
    yield case("tag flipped", good[:-1] + bytes([good[-1] ^ 0x80]), "0x202", "tag")


def digest(stream, type, form, payload):
    name = stream.encode()
    head = b"ecgframe digest 1\0" + struct.pack(">H", len(name)) + name + bytes((type, form & 4))
    return hashlib.sha256(head + payload).digest()


def signing_key():
    private = Ed25519PrivateKey.from_private_bytes(SIGNING)
    public = private.public_key().public_bytes_raw()
    return private, public, hashlib.sha256(public).digest()[:8]


def signatures():
    private, _, name = signing_key()
    for about, stream, type, form, payload in [
        ("alert", "ecg/1", 2, 0, ALERT),
        ("record, hashed without filter", "ecg/1", 1, 4, PLAIN_RECORD),
        ("BULK is not signed", "ecg/1", 1, 0x10, ALERT),
        ("no stream, empty payload", "", 4, 0, b""),
    ]:
        hashed = digest(stream, type, form, payload)
        trailer = name + private.sign(b"ecgframe sign 1\0" + hashed)
        case = {"name": about, "stream": stream, "type": type, "form": form, "payload": payload.hex()}
        yield case | {"digest": hashed.hex(), "trailer": trailer.hex()}


def attestations():
    private, _, name = signing_key()
    previous = bytes(32)
    lists = [[digest("ecg/1", 1, 4, PLAIN_RECORD)], [hashlib.sha256(bytes([i])).digest() for i in range(20)], []]
    for index, hashed in enumerate(lists):
        number, last = index + 1, index == 2
        digests = b"".join(hashed)
        text = b"ecgframe list 1\0" + struct.pack(">H5sQQB", 5, b"ecg/1", 1000, number, last) + previous + digests
        fields = {"stream": "ecg/1", "key": name, "epoch": 1000, "number": number, "last": last, "previous": previous}
        fields |= {"digests": digests, "signature": private.sign(text)}
        payload = ecgframe.pack(fields)
        previous = hashlib.sha256(payload).digest()
        yield {"name": f"number {number}", "digests": [one.hex() for one in hashed], "payload": payload.hex()}


def gcm():
    def case(name, key, nonce, plain, associated, sealed, valid=True):
        texts = {"key": key, "nonce": nonce, "plain": plain, "associated": associated, "sealed": sealed}
        return {"name": name, **texts, "valid": valid}

    # Of NIST's CAVP, "Count = 0" of some groups with nonces of 96 and tags of 128 bits.
    for one in CAVP:
        yield case(*one)
    key, nonce, plain, associated = bytes(range(32)), bytes(range(12)), bytes(range(40)), b"associated"
    good = AESGCM(key).encrypt(nonce, plain, associated)
    for bit in (0, 1, 7, 8, 31, 32, 63, 64, 71, 77, 80, 96, 97, 103, 120, 121, 126, 127):
        faulty = bytearray(good)
        faulty[len(plain) + bit // 8] ^= 1 << bit % 8
        yield case(f"bit {bit} of the tag", key.hex(), nonce.hex(), "", associated.hex(), faulty.hex(), False)
    for name, tag in [("zeros", bytes(16)), ("ones", b"\xff" * 16), ("inverted", bytes(b ^ 255 for b in good[-16:]))]:
        faulty = good[:-16] + tag
        yield case(f"tag: {name}", key.hex(), nonce.hex(), "", associated.hex(), faulty.hex(), False)


def ed25519():
    def case(name, public, message, signature, valid):
        return {
            "name": name,
            "public": public.hex(),
            "message": message.hex(),
            "signature": signature.hex(),
            "valid": valid,
        }

    for secret, message in RFC_8032:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        text = bytes.fromhex(message)
        one = case(
            f"RFC 8032, {len(text)} bytes", private.public_key().public_bytes_raw(), text, private.sign(text), True
        )
        yield {"secret": secret, **one}
    private, public, _ = signing_key()
    good = private.sign(b"text")
    r, s = good[:32], int.from_bytes(good[32:], "little")
    yield case("S plus the order of the group", public, b"text", r + (s + ORDER).to_bytes(32, "little"), False)
    yield case("S is the order", public, b"text", r + ORDER.to_bytes(32, "little"), False)
    yield case("S is 0", public, b"text", r + bytes(32), False)
    yield case("S has the highest bit", public, b"text", good[:-1] + bytes([good[-1] | 0x80]), False)
    yield case("R is 0", public, b"text", bytes(32) + good[32:], False)
    yield case("R and S are 0", public, b"text", bytes(64), False)
    yield case("R and S exchanged", public, b"text", good[32:] + r, False)
    yield case("R is not below the prime", public, b"text", (2**255 - 19).to_bytes(32, "little") + good[32:], False)
    yield case("cut", public, b"text", good[:-1], False)
    yield case("longer", public, b"text", good + b"\0", False)
    yield case("empty", public, b"text", b"", False)
    yield case("another text", public, b"texu", good, False)


RFC_8032 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", ""),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82"),
]
RFC_5869 = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        "0b" * 22,
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]
CAVP = [
    (
        "gcmEncryptExtIV256, 0 and 0 bits",
        "b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
        "516c33929df5a3284ff463d7",
        "",
        "",
        "bdc1ac884d332457a1d2664f168c76f0",
        True,
    ),
    (
        "gcmEncryptExtIV256, 0 and 160 bits",
        "886cff5f3e6b8d0e1ad0a38fcdb26de97e8acbe79f6bed66959a598fa5047d65",
        "3a8efa1cd74bbab5448f9945",
        "",
        "519fee519d25c7a304d6c6aa1897ee1eb8c59655",
        "f6d47505ec96c98a42dc3ae719877b87",
        True,
    ),
    (
        "gcmEncryptExtIV256, 104 and 0 bits",
        "82c4f12eeec3b2d3d157b0f992d292b237478d2cecc1d5f161389b97f999057a",
        "7b40b20f5f397177990ef2d1",
        "982a296ee1cd7086afad976945",
        "",
        "ec8e05a0471d6b43a59ca5335f113ddeafc62373cac2f5951bb9165249",
        True,
    ),
    (
        "gcmEncryptExtIV256, 104 and 160 bits",
        "69b458f2644af9020463b40ee503cdf083d693815e2659051ae0d039e606a970",
        "8d1da8ab5f91ccd09205944b",
        "f3e0e09224256bf21a83a5de8d",
        "036ad5e5494ef817a8af2f5828784a4bfedd1653",
        "c0a62d77e6031bfdc6b13ae217a794a9aaee48cd92e47761bf1baff0af",
        True,
    ),
    (
        "gcmEncryptExtIV256, 256 and 0 bits",
        "268ed1b5d7c9c7304f9cae5fc437b4cd3aebe2ec65f0d85c3918d3d3b5bba89b",
        "9ed9d8180564e0e945f5e5d4",
        "fe29a40d8ebf57262bdb87191d01843f4ca4b2de97d88273154a0b7d9e2fdb80",
        "",
        "791a4a026f16f3a5ea06274bf02baab469860abde5e645f3dd473a5acddeecfc05b2b74db0662550435ef1900e136b15",
        True,
    ),
    (
        "gcmEncryptExtIV256, 256 and 160 bits",
        "5853c020946b35f2c58ec427152b840420c40029636adcbb027471378cfdde0f",
        "eec313dd07cc1b3e6b068a47",
        "ce7458e56aef9061cb0c42ec2315565e6168f5a6249ffd31610b6d17ab64935e",
        "1389b522c24a774181700553f0246bbabdd38d6f",
        "eadc3b8766a77ded1a58cb727eca2a9790496c298654cda78febf0da16b6903b3d49a5b32fde7eafcce90079217ffb57",
        True,
    ),
    (
        "gcmEncryptExtIV256, 408 and 0 bits",
        "1fded32d5999de4a76e0f8082108823aef60417e1896cf4218a2fa90f632ec8a",
        "1f3afa4711e9474f32e70462",
        "06b2c75853df9aeb17befd33cea81c630b0fc53667ff45199c629c8e15dce41e530aa792f796b8138eeab2e86c7b7bee1d40b0",
        "",
        "91fbd061ddc5a7fcc9513fcdfdc9c3a7c5d4d64cedf6a9c24ab8a77c36eefbf1c5dc00bc50121b96456c8cd8b6ff1f8b3e480f30096d340f3d5c42d82a6f475def23eb",
        True,
    ),
    (
        "gcmEncryptExtIV256, 408 and 160 bits",
        "24501ad384e473963d476edcfe08205237acfd49b5b8f33857f8114e863fec7f",
        "9ff18563b978ec281b3f2794",
        "27f348f9cdc0c5bd5e66b1ccb63ad920ff2219d14e8d631b3872265cf117ee86757accb158bd9abb3868fdc0d0b074b5f01b2c",
        "adb5ec720ccf9898500028bf34afccbcaca126ef",
        "eb7cb754c824e8d96f7c6d9b76c7d26fb874ffbf1d65c6f64a698d839b0b06145dae82057ad55994cf59ad7f67c0fa5e85fab8bc95c532fecc594c36d1550286a7a3f0",
        True,
    ),
    (
        "gcmDecrypt256, 0 and 0 bits",
        "f5a2b27c74355872eb3ef6c5feafaa740e6ae990d9d48c3bd9bb8235e589f010",
        "58d2240f580a31c1d24948e9",
        "",
        "",
        "15e051a5e4a5f5da6cea92e2ebee5bac",
        True,
    ),
    (
        "gcmDecrypt256, 0 and 0 bits",
        "e5a8123f2e2e007d4e379ba114a2fb66e6613f57c72d4e4f024964053028a831",
        "51e43385bf533e168427e1ad",
        "",
        "",
        "38fe845c66e66bdd884c2aecafd280e6",
        False,
    ),
    (
        "gcmDecrypt256, 0 and 160 bits",
        "c0b46dc989a7bd45c15553e86a0bf206bf85a5222df1d5a7c8620ec8fa94cb95",
        "c140cffdba21d9226eca8284",
        "",
        "410a4afa61dd30c2d687ba9cba18fe8a0cd37d58",
        "54ba2bc9b8621d84e936c839c0de7118",
        False,
    ),
    (
        "gcmDecrypt256, 0 and 160 bits",
        "d33c33b003bda4bc2ae47b4f5e477e90607a6342967a73d8a88151ee99394b1a",
        "cfc54a48b843763db1cdbaf6",
        "",
        "840befba8ef6ad83a74934919195a70f2d891dc0",
        "9dde8b668c585f513f3048b8a2cd1b06",
        True,
    ),
    (
        "gcmDecrypt256, 104 and 0 bits",
        "8b37c4b8cf634704920059866ad96c49e9da502c63fca4a3a7a4dcec74cb0610",
        "cb59344d2b06c4ae57cd0ea4",
        "",
        "",
        "66ab935c93555e786b775637a3d8733acbb564d8afaa99d7ca2e2f92a9",
        False,
    ),
    (
        "gcmDecrypt256, 104 and 0 bits",
        "a71dac1377a3bf5d7fb1b5e36bee70d2e01de2a84a1c1009ba7448f7f26131dc",
        "c5b60dda3f333b1146e9da7c",
        "5b87141335f2becac1a559e05f",
        "",
        "43af49ec1ae3738a20755034d66f80b6ef2d8830a55eb63680a8dff9e0",
        True,
    ),
    (
        "gcmDecrypt256, 104 and 160 bits",
        "de1bb0d8acd23457c593c490e45858698d9acb887cf12c4a2931ea14a010a985",
        "a787cb34d6f88921f036b833",
        "",
        "6ffa289ec67aa3c1f8b4068af8d9acadc434cfc2",
        "ca0e93b01a47910918c18f1d7aef745fdf7d78d283b39a4597ca82f8cb",
        False,
    ),
    (
        "gcmDecrypt256, 104 and 160 bits",
        "6b879203e1a23c90bc4b92e4ee42001f8466b0a168a3b09df9b644182d8242ab",
        "3e05199e1d56ca0b120694c8",
        "d167388250a59485b3dde40200",
        "b21100419dc0a8ea58ef372e5f07e841b2ee5568",
        "ef4cd1b06520043c369f8324480ac846204a3a5299cef82d7a9b1748a8",
        True,
    ),
    (
        "gcmDecrypt256, 256 and 0 bits",
        "c3d99825f2181f4808acd2068eac7441a65bd428f14d2aab43fefc0129091139",
        "cafabd9672ca6c79a2fbdc22",
        "25431587e9ecffc7c37f8d6d52a9bc3310651d46fb0e3bad2726c8f2db653749",
        "",
        "84e5f23f95648fa247cb28eef53abec947dbf05ac953734618111583840bd98079651c875f7941793d42bbd0af1cce7c",
        True,
    ),
    (
        "gcmDecrypt256, 256 and 0 bits",
        "5c3bd1986d3c807b0c3ace811e618dbae1693f07145f282d474daaae0b6a1774",
        "3c9e5a952b5009afd3dd1eac",
        "7adb5cc81adcc3b7561d00972c313bee74b9022c8c035de386f476c8efa15f62",
        "",
        "ebb8c233496a5bddf70821fb8914ec8aa9633c1fcbc067948fc2d82e8fbe2fbb55074766eba059eee2af2db30029cf53",
        True,
    ),
    (
        "gcmDecrypt256, 256 and 160 bits",
        "c70fcbba915478f66315a15ffc3b11d92c24cbf213cc858f8740713ed9493182",
        "5b413f5dbfccc6a7c65ff5c4",
        "f135e924c57ca538f72c700fb0c9c103a70fc1935797cfe08024397f1c1a8277",
        "ee7b3521f1363c1fcbbb24c2c65f7ecee99d457c",
        "2ab2d676861b2281d3f740f637c997e25569ec7352e1767ce4c4c9ed5a6ab15a9a4a3febec6413d461f26364b51237f3",
        True,
    ),
    (
        "gcmDecrypt256, 256 and 160 bits",
        "c444d2bc6b0f14b306d7afbf9b0c84d9f2fcd2730df6d656402a184143a4eeb1",
        "89a840f9fede6fb08cce158e",
        "",
        "aaade9efaed6435e3130b9c36d8a82d201cce2a8",
        "ff15d0cdaf9b5390018a881a759183ae5cf702b9550cac2de78ad2c6d0da5af18655bd8d3213f0873d530c326a2fc15c",
        False,
    ),
    (
        "gcmDecrypt256, 408 and 0 bits",
        "4433db5fe066960bdd4e1d4d418b641c14bfcef9d574e29dcd0995352850f1eb",
        "0e396446655582838f27f72f",
        "d602c06b947abe06cf6aa2c5c1562e29062ad6220da9bc9c25d66a60bd85a80d4fbcc1fb4919b6566be35af9819aba836b8b47",
        "",
        "b0d254abe43bdb563ead669192c1e57e9a85c51dba0f1c8501d1ce92273f1ce7e140dcfac94757fabb128caad16912cead0607ffd0b02c92dbfcfbe9d58f7ff9e6f506",
        True,
    ),
    (
        "gcmDecrypt256, 408 and 0 bits",
        "28ae911ee685872d906de12d7696351df8ef2234a74a95efa4ea15b327338fe0",
        "2fe6a815d4865181fade5fac",
        "",
        "",
        "1168442ef64656ef6577fb42c1919c84aae856388e4db9945bb8c9b8412bbe6458bc400444d5d2bf2630f83468f66f9e46e790b75f616fd1a3d6563b62b899e5a7e522",
        False,
    ),
    (
        "gcmDecrypt256, 408 and 160 bits",
        "e9d381a9c413bee66175d5586a189836e5c20f5583535ab4d3f3e612dc21700e",
        "23e81571da1c7821c681c7ca",
        "",
        "6f39c9ae7b8e8a58a95f0dd8ea6a9087cbccdfd6",
        "a25f3f580306cd5065d22a6b7e9660110af7204bb77d370f7f34bee547feeff7b32a596fce29c9040e68b1589aad48da8819905b6dcd70eefb0892fab1539298b92a4b",
        False,
    ),
    (
        "gcmDecrypt256, 408 and 160 bits",
        "e86f021b83fa35b6270199a7dbffff781f89fff2a2987252228c4646cb8b6c05",
        "3883a55b229eb92ed0f92444",
        "",
        "0a4e0162ee28c077cbfb19b432743b420eae0610",
        "fd27f6eff4ad7b517b78d3a2597ab2e449239a8cef344c4097b8c2c3de639bc6d6d3c0e0e63305a58b6b2ac159bc2bb77c0918f38e5252bf3ec65cadfc91edc0b1f778",
        False,
    ),
]


def main():
    _, public, name = signing_key()
    key, iv = derived("ecg/1")
    hkdf = [dict(zip(("secret", "salt", "info", "okm"), one, strict=True)) for one in RFC_5869]
    found = {
        "key": {"id": 9, "secret": SECRET.hex(), "sender": SENDER.hex(), "derived": key.hex(), "iv": iv.hex()},
        "signer": {"secret": SIGNING.hex(), "public": public.hex(), "name": name.hex()},
        "sealed": list(seals()),
        "refused": list(seal_refusals()),
        "signed": list(signatures()),
        "attestations": list(attestations()),
        "primitives": {"gcm": list(gcm()), "hkdf": hkdf, "ed25519": list(ed25519())},
    }
    PATH.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
