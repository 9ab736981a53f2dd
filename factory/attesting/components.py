"""Packages as CycloneDX's components: made by its library once an environment, where an engine is at work anyway."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from factory.attesting.packages import Package


def components(packages: Sequence[Package]) -> list[dict[str, Any]]:
    """Return the components of an SBOM (JSON's types), in one order. Each has a `bom-ref` of its own, a short one."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    counts = Counter(_short(each) for each in packages)
    parts = [_component(each, is_alone=counts[_short(each)] == 1) for each in sorted(set(packages))]
    value = json.loads(JsonV1Dot6(Bom(components=parts)).output_as_string())
    return sorted(value.get("components", ()), key=lambda part: str(part["bom-ref"]))


def _short(package: Package) -> str:
    return f"{package.kind}:{package.name}"


def _component(package: Package, *, is_alone: bool) -> Any:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    qualifiers = {"arch": package.architecture} if package.architecture else None
    purl = PackageURL(package.kind, package.namespace or None, package.name, package.version, qualifiers)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=_short(package) if is_alone else str(purl),
        licenses=[LicenseFactory().make_from_string(package.licence)] if package.licence else [],
    )
