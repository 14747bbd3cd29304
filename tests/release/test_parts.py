"""The bill of third-party parts is complete, and the page about them is current."""

from __future__ import annotations

import importlib.metadata
import json
import re

import pytest
from release_package import FOLDER, load

parts = load("parts")
ROOT = FOLDER.parent
LOCK = ROOT / "client" / "package-lock.json"


def bill(**built_with):
    return parts.bill_of_materials("1.2.3", built_with, "1700000000")


def test_a_compiled_wheel_names_what_compiled_it():
    found = {part["name"]: part["version"] for part in bill(Cython="3.2.0", numpy="2.4.0")["components"]}
    assert found == {"fflate": "0.8.3", "pydicom": "3.0.2", "Cython": "3.2.0", "numpy": "2.4.0"}


def test_the_plain_wheel_has_no_parts_of_a_compiler():
    assert [part["purl"] for part in bill()["components"]] == ["pkg:npm/fflate@0.8.3", "pkg:pypi/pydicom@3.0.2"]


def test_the_bill_of_parts_is_reproducible():
    assert bill() == bill()
    assert bill()["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert bill()["serialNumber"] != bill(Cython="3.2.0", numpy="2.4.0")["serialNumber"]
    assert "timestamp" not in parts.bill_of_materials("1.2.3", {}, None)["metadata"]


def test_every_part_comes_with_the_text_of_its_licence():
    licence = load("project").project()["project"]["license"]
    for part in parts.PARTS:
        if not part.is_compiled:
            assert (ROOT / part.notice).is_file()
            assert set(part.licence.split(" AND ")) <= set(licence.split(" AND "))


@pytest.mark.skipif(not LOCK.exists(), reason="the client is not here")
def test_the_page_has_the_only_part_of_others_that_it_may_have():
    """What is bundled into the monitor are the dependencies of the npm package; all else there is for development."""
    packages = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    bundled = {path.removeprefix("node_modules/"): one for path, one in packages.items() if path and not one.get("dev")}
    bundled = {name: one for name, one in bundled.items() if not one.get("optional") and not one.get("peer")}
    [fflate] = [part for part in parts.PARTS if part.url.startswith("pkg:npm/")]
    assert {name: one["version"] for name, one in bundled.items()} == {fflate.name: fflate.version}
    assert bundled["fflate"]["license"].strip("()") == fflate.licence
    built = (ROOT / "client" / "monitor" / "build.mjs").read_text(encoding="utf-8")
    assert "bundle: true" in built


@pytest.mark.skipif(not LOCK.exists(), reason="the client is not here")
def test_the_npm_package_has_the_licence_and_the_version():
    package = json.loads((ROOT / "client" / "package.json").read_text(encoding="utf-8"))
    project = load("project").project()["project"]
    assert (ROOT / "client" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert load("version").disagreements_of_npm(package, project["version"], project["urls"]["Homepage"]) == []
    assert "private" not in package
    assert package["publishConfig"] == {"access": "public", "provenance": True}


def test_the_recording_is_of_the_named_release():
    [pydicom] = [part for part in parts.PARTS if part.name == "pydicom"]
    about = (ROOT / pydicom.notice).read_text(encoding="utf-8")
    assert re.search(rf"\[pydicom\]\(\S+\) {re.escape(pydicom.version)}$", about, re.M)


def test_the_page_is_current():
    page = parts.PAGE.read_text(encoding="utf-8")
    assert page == parts.with_tables(page, parts.tables()), "python -m release.parts writes it"


def test_every_requirement_has_a_licence():
    assert parts.requirements().keys() == parts.LICENCES.keys()


def test_licences_are_what_the_packages_say():
    """A release that has come since may say something else, which is no mistake of a change to ecgframe."""
    others = []
    for name, licence in parts.LICENCES.items():
        try:
            metadata = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if metadata.get("License-Expression", licence) != licence:
            others.append(f"{name} {metadata['Version']}: {metadata['License-Expression']}")
    if others:
        pytest.skip(f"release/parts.py has other licences of {', '.join(others)}")
