"""Reads the published vectors of AES-GCM, HKDF and Ed25519, which are not part of this package.

``ECGFRAME_VECTORS`` names a folder with any of these files: ``gcmEncryptExtIV256.rsp`` and ``gcmDecrypt256.rsp`` of
NIST's CAVP; ``sign.input`` of the authors of Ed25519; ``aes_gcm_test.json``, ``hkdf_sha256_test.json`` and
``ed25519_test.json`` of the project Wycheproof. Run as a program, this prints them for the tests in TypeScript.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLE = "ECGFRAME_VECTORS"
FILES = (
    "gcmEncryptExtIV256.rsp",
    "gcmDecrypt256.rsp",
    "sign.input",
    "aes_gcm_test.json",
    "hkdf_sha256_test.json",
    "ed25519_test.json",
)


def folder() -> Path | None:
    """The folder with the files; None if there is none."""
    named = os.environ.get(VARIABLE)
    return None if named is None else Path(named)


def cases() -> dict[str, list[dict[str, Any]]]:
    """All cases by the name of the primitive, with bytes in hexadecimal digits."""
    place = folder()
    assert place is not None, VARIABLE
    found: dict[str, list[dict[str, Any]]] = {"gcm": [], "hkdf": [], "ed25519": []}
    for name in FILES[:2]:
        if (place / name).exists():
            found["gcm"] += _of_cavp(place / name)
    if (place / "sign.input").exists():
        found["ed25519"] += _of_authors(place / "sign.input")
    for name, make in (("aes_gcm", _gcm), ("hkdf_sha256", _hkdf), ("ed25519", _ed25519)):
        path = place / f"{name}_test.json"
        if path.exists():
            primitive = name.removeprefix("aes_").removesuffix("_sha256")
            for group in json.loads(path.read_text())["testGroups"]:
                found[primitive] += make(group)
    return found


def _of_cavp(path: Path) -> Iterator[dict[str, Any]]:
    """Those with the sizes of this protocol: nonces of 96 bits, tags of 128."""
    sizes: dict[str, str] = {}
    for block in re.split(r"\r?\n\r?\n", path.read_text()):
        sizes |= re.findall(r"\[(\w+) = (\w+)\]", block)
        lines = dict(re.findall(r"^(\w+) = ?(\w*)", block, re.MULTILINE))
        if "Count" not in lines or (sizes["IVlen"], sizes["Taglen"]) != ("96", "128"):
            continue
        valid = not re.search(r"^FAIL", block, re.MULTILINE)
        plain, sealed = lines.get("PT", ""), lines["CT"] + lines["Tag"]
        yield _gcm_case(path.stem, lines["Count"], lines["Key"], lines["IV"], lines["AAD"], plain, sealed, valid=valid)


def _gcm_case(
    source: str, number: object, key: str, nonce: str, associated: str, plain: str, sealed: str, *, valid: bool
) -> dict[str, Any]:
    name = f"{source} {number}"
    fields = {"key": key, "nonce": nonce, "associated": associated, "plain": plain, "sealed": sealed}
    return {"name": name, **fields, "valid": valid}


def _of_authors(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_text().splitlines()):
        secret, public, message, signed = line.split(":")[:4]
        yield {
            "name": f"sign.input {number}",
            "secret": secret[:64],
            "public": public,
            "message": message,
            "signature": signed[:128],
            "valid": True,
        }


def _gcm(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
        return
    for one in group["tests"]:
        number, valid = one["tcId"], one["result"] == "valid"
        sealed = one["ct"] + one["tag"]
        yield _gcm_case("Wycheproof", number, one["key"], one["iv"], one["aad"], one["msg"], sealed, valid=valid)


def _hkdf(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in group["tests"]:
        if one["result"] == "valid":
            names = {"secret": "ikm", "salt": "salt", "info": "info", "okm": "okm"}
            yield {"name": f"Wycheproof {one['tcId']}", **{name: one[theirs] for name, theirs in names.items()}}


def _ed25519(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in group["tests"]:
        yield {
            "name": f"Wycheproof {one['tcId']}: {one['comment']}",
            "public": group["publicKey"]["pk"],
            "message": one["msg"],
            "signature": one["sig"],
            "valid": one["result"] == "valid",
        }


if __name__ == "__main__":
    print(json.dumps(cases()))
